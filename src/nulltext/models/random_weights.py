"""The architectures of the families with random weights: what they cost can be measured without a download."""

import string
from importlib import import_module
from typing import Any

import diffusers
import torch
import transformers

from nulltext.models.architectures import ARCHITECTURES, TEXT_LENGTH, Architecture, Name
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.build import Build
from nulltext.models.compiling import compile_denoiser
from nulltext.models.loading import choose_device, of_pipeline
from nulltext.models.precision import choose_dtype
from nulltext.models.quiet import quiet

_T5_LENGTH = 512


def random_model(
    family: Name,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    low_memory: bool = False,
    compiled: bool = False,
    tiny: bool = False,
) -> Model:
    """A model of a family's full size with random weights; what it draws is noise.

    Args:
        family: "sd15" for Stable Diffusion 1.5, 512 pixels on a side, "sd21" for 2.1, 768 pixels, "sdxl" for XL,
            "sd35m" for 3.5 medium and "flux" for FLUX.1 dev, 1024 pixels, "ldm" for latent diffusion, 256 pixels. Of
            T5, which reads a prompt once, there is one layer of its 24.
        device: Where to compute; a CUDA device if there is one, else the CPU.
        dtype: The denoiser's precision; float16 on CUDA, else float32.
        low_memory: See `nulltext.load`.
        compiled: See `nulltext.load`.
        tiny: See `random_pipeline`.

    Raises:
        SettingError: A device or precision that does not exist here.
        UnsupportedPipelineError: There is no adapter of the family.
        CompilationError: `compiled` is on, and the gradient would be another.
    """
    found = choose_device(device)
    adapter, parts = of_pipeline(random_pipeline(family, tiny=tiny, device=found))
    identity = ModelIdentity(f"{family}, random weights", "random")
    build = Build(identity=identity, device=found, dtype=choose_dtype(dtype, found), low_memory=low_memory)
    model = adapter.from_parts(parts, build)
    if compiled:
        compile_denoiser(model)
    return model


def random_pipeline(
    family: Name, *, tiny: bool = False, device: torch.device | str = "cpu"
) -> diffusers.DiffusionPipeline:
    """A pipeline of the real classes, its random weights in bfloat16.

    Args:
        family: As in `random_model`.
        tiny: For images of 64 pixels on a side, in float32: some 100 thousand weights, for what its code alone decides.
        device: Where the weights are drawn: of billions a CPU draws for minutes.
    """
    architecture = ARCHITECTURES[family]
    changes = architecture.tiny if tiny else architecture.quick
    tokenizers = {
        name: _tokenizer(architecture.networks[network][0]) for name, network in architecture.tokenizers.items()
    }
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if tiny else torch.bfloat16)  # half the memory while they are drawn
    try:
        with torch.device(device):
            networks = {
                name: network_of(
                    architecture.networks[name][0], architecture.at(name, changes, _words(architecture, tokenizers))
                )
                for name in architecture.networks
            }
    finally:
        torch.set_default_dtype(before)
    scheduler, levels = architecture.scheduler
    with quiet():
        return getattr(diffusers, architecture.pipeline)(
            **networks,
            **tokenizers,
            **dict.fromkeys(architecture.absent),
            **architecture.settings,
            scheduler=getattr(diffusers, scheduler)(**levels),
        )


def network_of(path: str, config: dict[str, Any]) -> Any:  # noqa: ANN401  diffusers carries no types
    """A network of a class, "library:Class", with random weights.

    Args:
        path: The class.
        config: What of its config differs from the defaults.
    """
    library, _, name = path.partition(":")
    made: Any = getattr(import_module(library), name)
    with quiet():
        described: Any = getattr(made, "config_class", None)
        return made(**config) if described is None else made(described(**config)).eval()


def _words(architecture: Architecture, tokenizers: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What text encoders have to know of their tokenizers."""
    marks = ("bos_token_id", "eos_token_id", "pad_token_id")
    known: dict[str, dict[str, Any]] = {}
    for name, network in architecture.tokenizers.items():
        own = {mark: getattr(tokenizers[name], mark) for mark in marks}
        known[network] = {mark: token for mark, token in own.items() if token is not None}
        if "CLIP" in architecture.networks[network][0]:
            known[network]["max_position_embeddings"] = TEXT_LENGTH
    return known


def _tokenizer(network: str) -> Any:  # noqa: ANN401  transformers carries no types
    """A tokenizer for a text encoder, which knows letters."""
    if network.endswith("T5EncoderModel"):
        pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_lowercase]
        vocab: Any = [(piece, -float(at > 2)) for at, piece in enumerate(pieces)]  # noqa: PLR2004  after the marks
        return transformers.T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=_T5_LENGTH)
    if network.endswith("LDMBertModel"):
        letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
        known: Any = {word: at for at, word in enumerate(words)}
        return transformers.BertTokenizer(vocab=known, model_max_length=TEXT_LENGTH)
    return byte_tokenizer(TEXT_LENGTH)


def byte_tokenizer(length: int) -> transformers.CLIPTokenizer:
    """CLIP's byte-level tokenizer with every byte known and nothing merged: one token a letter.

    Args:
        length: The tokens of an embedding.
    """
    letters = [chr(i) for i in [*range(33, 127), *range(161, 173), *range(174, 256)]] + [
        chr(256 + i) for i in range(68)
    ]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=length
    )
