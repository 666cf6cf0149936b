"""What a file or a folder is that is no checkpoint, so that the error says so where it goes."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nulltext.errors import ModelLoadError, ModelNotFoundError, UnsupportedPipelineError
from nulltext.models.networks import is_lora
from nulltext.models.tensors import TensorFile

Shapes = Mapping[str, tuple[int, ...]]

SINGLE_FILE: Final = (".safetensors", ".ckpt")
UNET: Final = "model.diffusion_model."
VAE: Final = "first_stage_model."
TEXT: Final = "cond_stage_model."
"""What the names of the three networks' weights begin with in a single file."""
TEXT_1: Final = "conditioner.embedders.0.transformer."
TEXT_2: Final = "conditioner.embedders.1.model."
"""What those of Stable Diffusion XL's text encoders begin with."""
TEXTS_OF_3: Final = ("text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer.")
T5_OF_3: Final = "text_encoders.t5xxl.transformer."
"""What those of Stable Diffusion 3's begin with, of which the third may be left out; FLUX has the first and T5."""
VAES: Final = (VAE, "vae.")
"""What those of an autoencoder begin with beside either."""

_FIRST: Final = f"{UNET}input_blocks.0.0.weight"
_LATENTS: Final = 4
_TAKEN: Final = (_LATENTS, 2 * _LATENTS + 1)
"""The channels of text-to-image denoisers and of inpainting ones."""
_EXTRA_CHANNELS: Final = {8: "an InstructPix2Pix", 7: "an upscaling", 5: "a depth"}
_OTHER_UIS: Final = ("models/checkpoints", "models/Stable-diffusion", "checkpoints", "Stable-diffusion")
_ADVICE: Final = "Give the Stable Diffusion 1.x or 2.x checkpoint that it belongs to."
_AS_A_FOLDER: Final = "Give it as a folder in diffusers' format, or by its hub id."
_MERGE: Final = (
    "Add it to the checkpoint that it was made for: --model CHECKPOINT --lora FILE, or load(..., lora=file)."
)


@dataclass(frozen=True)
class _Kind:
    """Attributes: what it is; what to do; how to see it."""

    what: str
    advice: str
    matches: Callable[[Shapes], bool]


def _named(pattern: str) -> Callable[[Shapes], bool]:
    compiled = re.compile(pattern)
    return lambda shapes: any(compiled.search(name) for name in shapes)


def _begins(*prefixes: str) -> Callable[[Shapes], bool]:
    return lambda shapes: any(name.startswith(prefixes) for name in shapes)


def _is_embedding(shapes: Shapes) -> bool:
    """Whether there is little more than one matrix of vectors, or one such vector."""
    vectors = all(0 < len(shape) < 3 for shape in shapes.values())  # noqa: PLR2004  a vector, or rows of them
    return "string_to_param" in shapes or (vectors and 0 < len(shapes) < 3)  # noqa: PLR2004  for one text encoder or two


_KINDS: Final = (
    _Kind("a ControlNet", _ADVICE, _named(r"^control_model\.|input_hint_block|^controlnet_")),
    _Kind("an IP-Adapter", _ADVICE, _named(r"^(image_proj|ip_adapter)\.")),
    _Kind("a motion module (AnimateDiff)", _ADVICE, _named(r"motion_modules?\.")),
    _Kind("no FLUX.1, but a kin of it", _AS_A_FOLDER, _named(r"(^|\.)double_blocks\.")),
    _Kind("no Stable Diffusion 3, but a kin of it", _AS_A_FOLDER, _named(r"(^|\.)joint_blocks\.")),
    _Kind("a Stable Diffusion XL refiner", "Choose the base checkpoint.", _begins("conditioner.embedders.0.model.")),
    _Kind(
        "a denoiser that is told of more than a prompt, without the text encoders of Stable Diffusion XL",
        "Give the whole checkpoint.",
        lambda shapes: _named(rf"^{re.escape(UNET)}label_emb\.|^add_embedding\.")(shapes)
        and not _begins(TEXT_1, TEXT_2)(shapes),
    ),
    _Kind("a LoRA", _MERGE, lambda shapes: is_lora(shapes) and _FIRST not in shapes),
    _Kind(
        "a textual inversion",
        "Add it to the checkpoint that it was made for: --model CHECKPOINT --embedding FILE, or load(..., "
        "embedding=file).",
        _is_embedding,
    ),
    _Kind(
        "a denoiser (UNet) alone",
        "It goes, as unet/, into a folder in diffusers' format that has the other parts; load that folder.",
        lambda shapes: _named(r"^(input_blocks|down_blocks|up_blocks)\.")(shapes)
        or (_begins(UNET)(shapes) and not _begins(VAE, TEXT, TEXT_1, TEXT_2)(shapes)),
    ),
    _Kind(
        "a text encoder alone",
        "It goes, as text_encoder/, into a folder in diffusers' format that has the other parts; load that folder.",
        _named(r"^(text_model\.|encoder\.block\.|transformer\.resblocks|text_encoders?\.)"),
    ),
    _Kind(
        "an autoencoder (VAE) alone",
        "Give it beside a whole checkpoint: --model CHECKPOINT --vae FILE, or load(..., vae=file).",
        lambda shapes: _named(r"^(encoder|decoder|first_stage_model)\.")(shapes)
        and not _begins(UNET)(shapes),
    ),
    _Kind("an upscaler of images", _ADVICE, _named(r"^(RRDB_trunk|conv_first|body\.\d+\.rdb|model\.\d+\.sub)")),
)  # fmt: skip


def check_file(file: TensorFile) -> None:
    """Makes sure that a file is a whole Stable Diffusion 1.x, 2.x or XL, a 3 or FLUX, as far as its names tell.

    Raises:
        UnsupportedPipelineError: It is something else; says what, and where that goes.
        ModelLoadError: It is one, but a part is missing.
    """
    path, shapes = file.path, file.shapes
    if file.metadata.get("format", "").startswith("nulltext."):
        raise UnsupportedPipelineError(
            f"{path} is an inversion file of nulltext, not a model. Give it to what edits: nulltext edit {path.name}, "
            "or Inversion.load(path)."
        )
    if (channels := channels_of(file)) not in _TAKEN:
        raise UnsupportedPipelineError(
            f"{path} is {_EXTRA_CHANNELS.get(channels, 'another kind of')} checkpoint: its denoiser takes {channels} "
            f"channels; expected {' or '.join(map(str, _TAKEN))} (inpainting). Choose the text-to-image checkpoint "
            "that it was made from."
        )
    if is_denoiser_alone(file):
        return
    flow = is_third(file) or is_flux(file)
    for kind in () if flow else _KINDS:
        if kind.matches(shapes):
            raise UnsupportedPipelineError(f"{path} is {kind.what}; expected a whole checkpoint. {kind.advice}")
    prefixes = {"denoiser (UNet)": (UNET,), "autoencoder (VAE)": VAES if flow else (VAE,), **_text_encoders(file)}
    lacking = [part for part, begins in prefixes.items() if not _begins(*begins)(shapes)]
    if len(lacking) == len(prefixes):
        raise UnsupportedPipelineError(
            f"{path} holds no Stable Diffusion checkpoint: {len(shapes)} tensors"
            + (f", such as {', '.join(sorted(shapes)[:3])}" if shapes else "")
            + ". Give a whole checkpoint file, or a folder in diffusers' format."
        )
    if lacking:
        raise ModelLoadError(
            f"{path} is incomplete: it lacks its {' and its '.join(lacking)}. Give the whole checkpoint, or put the "
            "parts together in a folder in diffusers' format."
        )


def _text_encoders(file: TensorFile) -> dict[str, tuple[str, ...]]:
    """What the weights of a whole checkpoint's text encoders begin with."""
    if is_flux(file):
        return {"text encoder (CLIP)": (TEXTS_OF_3[0],), "second text encoder (T5)": (T5_OF_3,)}
    if is_third(file):
        return {"text encoder": (TEXTS_OF_3[0],), "second text encoder": (TEXTS_OF_3[1],)}
    if is_xl(file):
        return {"text encoder": (TEXT_1,), "second text encoder": (TEXT_2,)}
    return {"text encoder": (TEXT,)}


def channels_of(file: TensorFile) -> int:
    """How many channels a checkpoint file's denoiser takes; those of latents where it has none."""
    return [*file.shapes.get(_FIRST, ()), _LATENTS, _LATENTS][1]


def is_xl(file: TensorFile) -> bool:
    """Whether a checkpoint file has the text encoders of Stable Diffusion XL."""
    return _begins(TEXT_1, TEXT_2)(file.shapes)


def is_third(file: TensorFile) -> bool:
    """Whether a checkpoint file is a Stable Diffusion 3, with its text encoders or without."""
    return _has(file, "x_embedder.proj.weight", "joint_blocks.0.x_block.attn.qkv.weight")


def is_flux(file: TensorFile) -> bool:
    """The same of FLUX.1."""
    return _has(file, "img_in.weight", "vector_in.in_layer.weight", "double_blocks.0.img_attn.qkv.weight")


def is_denoiser_alone(file: TensorFile) -> bool:
    """Whether a file is one of these without text encoders, as many are published: these and more are a folder's."""
    return (is_third(file) or is_flux(file)) and not _begins(*TEXTS_OF_3, T5_OF_3)(file.shapes)


def _has(file: TensorFile, *names: str) -> bool:
    """Whether a file has a denoiser's weights, by names that may begin with `UNET`."""
    return any(all(f"{prefix}{name}" in file.shapes for name in names) for prefix in ("", UNET))


def not_a_model(folder: Path) -> ModelNotFoundError:
    """The error that says what a folder without a ``model_index.json`` is instead, and what to give."""
    return ModelNotFoundError(
        f"{folder} has no model_index.json; expected a folder in diffusers' format. {_seen_in(folder)}"
    )


def _seen_in(folder: Path) -> str:
    """What a folder seems to be, and what to do, in a sentence or two."""
    config = _json(folder / "config.json")
    if (folder / "adapter_config.json").is_file() or any(folder.glob("pytorch_lora_weights.*")):
        return f"It holds a LoRA. {_MERGE}"
    if config:
        return _one_part(config)
    inside = sorted(path.parent for path in [*folder.glob("*/model_index.json"), *folder.glob("*/*/model_index.json")])
    single = [file for subfolder in (".", *_OTHER_UIS) for file in sorted((folder / subfolder).glob("*"))]
    single = [file for file in single if file.suffix in SINGLE_FILE and file.is_file()]
    found = {
        f"There is such a folder in it: {inside[0] if inside else ''}. Give that.": inside,
        f"A checkpoint in a single file is given by its own path, such as {single[0] if single else ''}.": single,
        "It has text_encoder_2/, so its download seems to be incomplete. Fetch it again, whole.": (
            folder / "text_encoder_2"
        ).is_dir(),
        "It has unet/, so its download seems to be incomplete. Fetch it again, whole.": (folder / "unet").is_dir(),
        "Check the path.": True,
    }
    return next(sentence for sentence, matches in found.items() if matches)


def _one_part(config: Mapping[str, Any]) -> str:
    """What a folder with a config of its own holds."""
    made = config.get("_class_name")
    if made is not None:
        subfolder = {"UNet2DConditionModel": "as unet/, ", "AutoencoderKL": "as vae/, "}.get(str(made), "")
        return (
            f"It holds one part alone, {made}. It goes, {subfolder}into a folder that has the other parts; load that "
            "folder."
        )
    kind = config.get("architectures") or config.get("model_type") or "model"
    kind = kind[0] if isinstance(kind, list) else kind
    return f"It holds a {kind} of transformers, which draws no images. Choose a Stable Diffusion checkpoint."


def _json(path: Path) -> dict[str, Any]:
    try:
        read: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
