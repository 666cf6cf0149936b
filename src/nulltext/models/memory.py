"""How much memory an optimisation needs, measured rather than guessed."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from nulltext.attention.uncompiled import uncompiled
from nulltext.models.base import Model

ON_A_CPU, MOST = 8, 64
"""Images at once: where memory is plenty and more are no quicker, and at most."""
_SHARE, _BESIDES = 0.8, 1.5
"""What of the free memory is used, and the peak as a multiple of what is saved for the backward pass."""


def saved_bytes(model: Model, size: tuple[int, int] | None = None) -> int:
    """What the network keeps of one image between its forward and its backward pass, in bytes.

    One evaluation of the network, not compiled: seconds on a CPU at full size.

    Args:
        model: The model.
        size: (height, width) of the image in pixels; the model's own if None.
    """
    height, width = size or model.default_size
    x = torch.zeros(1, model.latent_channels, height // model.scale, width // model.scale, device=model.device)
    with torch.enable_grad(), uncompiled(model.denoiser), keeping(model.denoiser) as kept:
        null = model.null((height, width))
        output = model.predict(x, 1.0, null.with_text(null.text.requires_grad_()))
    del output  # until here, so that no two of the storages were one after the other
    return sum(kept.values())


@contextmanager
def keeping(network: nn.Module) -> Generator[Mapping[int, int]]:
    """What is kept for a backward pass of what is computed meanwhile, but for a network's weights.

    Yields:
        The bytes of each storage, by a number of its own; on the meta device none has an address.
    """
    weights = {StorageWeakRef(weight.untyped_storage()).cdata for weight in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        number = StorageWeakRef(storage).cdata
        if number not in weights:
            kept[number] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def predicted_peak(model: Model, at_once: int, size: tuple[int, int] | None = None) -> int:
    """The memory that an optimisation of so many images at once will need, the network's weights included, in bytes.

    Args:
        model: The model.
        at_once: Images that share a batch.
        size: (height, width) of the images in pixels; the model's own if None.
    """
    weights = sum(weight.nbytes for weight in model.denoiser.parameters())
    return weights + round(_BESIDES * at_once * saved_bytes(model, size))


def images_at_once(model: Model, size: tuple[int, int] | None = None) -> int:
    """How many images to optimise at once: on a GPU as many as its free memory takes, 1 to 64; elsewhere 8.

    Args:
        model: The model.
        size: (height, width) of the images in pixels; the model's own if None.
    """
    if model.device.type != "cuda":
        return ON_A_CPU
    free, _ = torch.cuda.mem_get_info(model.device)
    kept = torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)  # for what is next
    return max(1, min(MOST, int(_SHARE * (free + kept) / (_BESIDES * saved_bytes(model, size)))))
