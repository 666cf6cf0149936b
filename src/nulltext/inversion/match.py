"""Whether an inversion can be used with a model: what it was made with, held against what is at hand."""

import torch
from torch import Tensor

from nulltext import __version__
from nulltext.diffusion.rule import CLASSIFIER_FREE, Rule
from nulltext.diffusion.schedule import Schedule
from nulltext.errors import MismatchError, shown
from nulltext.images import Frame
from nulltext.inversion.replay import Replay
from nulltext.models.base import Model, ModelIdentity
from nulltext.types import Trajectory


def check_weights(made_with: ModelIdentity, version: str, model: Model) -> None:
    """Makes sure that the weights are those it was made with, by which version of the package is said.

    Raises:
        MismatchError: They are not; so it is for all that follow.
    """
    if not made_with.same_weights(model.identity):
        raise MismatchError(
            f"got the model {model.identity}; this inversion was made with {made_with}, by nulltext "
            f"{version} (this is {__version__}). Load that model, or invert the image again with this one."
        )


def check_schedule(schedule: Schedule, frame: Frame, model: Model) -> None:
    """Makes sure that the model's schedule is the one that was walked."""
    if not _same_schedule(schedule, model.schedule(len(schedule), frame.fitted)):
        raise MismatchError(
            f"the schedule of {model.identity.id} in {len(schedule)} steps is not the one this inversion was "
            "made with. Give the model back its scheduler config, or invert the image again."
        )


def check_latents(pivot: Trajectory, frame: Frame, model: Model) -> None:
    """Makes sure that the model has latents of that size for an image of that size."""
    cells = tuple(side // model.scale for side in frame.fitted)
    if pivot.shape[1:] != (model.latent_channels, *cells):
        raise MismatchError(
            f"the latents of this inversion are {list(pivot.shape[1:])}; expected "
            f"{[model.latent_channels, *cells]} for its image. Invert the image again."
        )


def check_embeddings(replay: Replay, model: Model) -> None:
    """Makes sure that the model reads embeddings of that size."""
    tensors = replay.tensors()
    if not tensors:
        return
    null, names = model.null(), {"nulls": "null embeddings", "cond": "conditional embedding"}
    pooled = tensors.pop("pooled", None)
    for name, tensor in tensors.items():
        if tensor.shape[-2:] != (wanted := null.text.shape[-2:]):
            raise MismatchError(
                f"the {names[name]} of this inversion are {list(tensor.shape[-2:])}; expected {list(wanted)}, which "
                f"{model.identity.id} reads. Invert the image again."
            )
    if pooled is not None and (null.pooled is None or pooled.shape != null.pooled.shape[1:]):
        has = "none" if null.pooled is None else f"{list(null.pooled.shape[1:])}"
        raise MismatchError(
            f"the pooled text of this inversion is {list(pooled.shape)}; {model.identity.id} has {has}. "
            "Invert the image again."
        )


def check_guidance(replay: Replay, own: float, asked: float) -> None:
    """Makes sure that embeddings are used at the guidance scale that they were optimised for.

    Where the source row has a scale of its own, they are, whatever that of the edits.
    """
    if asked != own and replay.tensors() and replay.source_guidance is None:
        raise MismatchError(
            f"got guidance {asked:g}; the embeddings of this inversion were made for {own:g}. "
            "Use that, or invert the image again for the other."
        )


def check_rule(replay: Replay, rule: Rule) -> None:
    """Makes sure that a source which has to be led back by its embeddings is guided as they were made for.

    A source that is put back on the pivot comes back under any rule.
    """
    if rule != CLASSIFIER_FREE and replay.tensors() and not replay.exact:
        raise MismatchError(
            f"got the guidance rule {rule.name!r}; the embeddings of this inversion were made for "
            f"{CLASSIFIER_FREE.name!r}. Use that, hold the source, or invert the image by direct inversion."
        )


def check_negative(replay: Replay, own: str, asked: str) -> None:
    """Makes sure that embeddings are used beside the negative prompt that they were made for."""
    if asked != own and replay.tensors() and (replay.nulls is not None or not replay.exact):
        raise MismatchError(
            f"got the negative prompt {shown(asked)}; the embeddings of this inversion were made for "
            f"{shown(own) if own else 'none'}. Leave it out, or invert the image again with that one."
        )


def _same_schedule(a: Schedule, b: Schedule) -> bool:
    """Equal but for the rounding of another machine."""

    def numbers(schedule: Schedule) -> Tensor:
        return torch.tensor(
            [(step.t, step.noisy.alpha, step.noisy.sigma, step.clean.alpha, step.clean.sigma) for step in schedule],
            dtype=torch.float64,
        )

    return len(a) == len(b) and torch.allclose(numbers(a), numbers(b), rtol=0, atol=1e-5)
