"""Which adapter makes a model of which pipeline: a new family of checkpoints is its file and a row here."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, final, runtime_checkable

from nulltext.errors import UnsupportedPipelineError

if TYPE_CHECKING:  # the table is read without torch
    from nulltext.models.base import Model
    from nulltext.models.build import Build
    from nulltext.models.parts import Parts


@runtime_checkable
class Adapter(Protocol):
    """Makes a model of the parts of a family's checkpoints."""

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> "Parts":
        """The parts of a folder in diffusers' format, with their weights in the precision they are stored in.

        Args:
            folder: The folder.
            index: What its ``model_index.json`` holds.

        Raises:
            UnsupportedPipelineError: A part is of a class that cannot be used.
            ModelLoadError: A part is damaged or incomplete.
        """
        ...

    @staticmethod
    def from_parts(parts: "Parts", build: "Build") -> "Model":
        """Takes over the parts: moves them, sets their precision, and freezes them.

        Args:
            parts: They are used, not copied.
            build: How the model is made of them.

        Raises:
            UnsupportedPipelineError: The parts are not those of a text-to-image checkpoint of the family.
            UnsupportedScheduleError: The scheduler's levels cannot be walked both ways.
            ModelLoadError: A config has a value of the wrong type.
        """
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of checkpoints.

    Attributes:
        path: "module:Class" of its adapter.
        summary: What it is, in a line.
        networks: The folders of its networks, the denoiser's first.
        others: The folders of its other parts.
        vocabulary: Files of the tokenizer, of which it needs one.
        unused: Parts of its pipeline that are neither loaded nor fetched.
        optional: Parts that a folder may lack.
        guidance: The guidance scale that is published for it.
        settings: Entries of ``model_index.json`` that change what it computes.
    """

    path: str
    summary: str
    networks: tuple[str, ...] = ("unet", "vae", "text_encoder")
    others: tuple[str, ...] = ("tokenizer", "scheduler")
    vocabulary: tuple[str, ...] = ("vocab.json", "tokenizer.json")
    unused: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    guidance: float = 7.5
    settings: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders of all its parts."""
        return self.networks + self.others

    def load(self) -> Adapter:
        """The adapter."""
        module, name = self.path.split(":")
        return getattr(import_module(module), name)


FAMILIES: Final[Mapping[str, Family]] = {
    "StableDiffusionPipeline": Family(
        path="nulltext.models.stable_diffusion:StableDiffusion",
        summary="Stable Diffusion 1.x or 2.x, text to image",
        unused=("safety_checker", "feature_extractor", "image_encoder"),
    ),
    "FluxPipeline": Family(
        path="nulltext.models.flux:Flux",
        summary="FLUX.1, dev or schnell",
        networks=("transformer", "vae", "text_encoder", "text_encoder_2"),
        others=("tokenizer", "tokenizer_2", "scheduler"),
        vocabulary=("vocab.json", "tokenizer.json", "spiece.model"),
        unused=("image_encoder", "feature_extractor"),
        guidance=3.5,
    ),
    "StableDiffusionInpaintPipeline": Family(
        path="nulltext.models.stable_diffusion:StableDiffusion",
        summary="Stable Diffusion 1.x or 2.x, inpainting",
        unused=("safety_checker", "feature_extractor", "image_encoder"),
    ),
    "LDMTextToImagePipeline": Family(
        path="nulltext.models.latent_diffusion:LatentDiffusion",
        summary="latent diffusion at 256 pixels",
        networks=("unet", "vqvae", "bert"),
        vocabulary=("vocab.txt", "tokenizer.json"),
    ),
    "IFPipeline": Family(
        path="nulltext.models.deepfloyd:DeepFloyd",
        summary="DeepFloyd IF, its stage I of 64 pixels",
        networks=("unet", "text_encoder"),
        vocabulary=("spiece.model", "tokenizer.json"),
        unused=("safety_checker", "feature_extractor", "watermarker"),
        guidance=7.0,
    ),
    "StableDiffusion3Pipeline": Family(
        path="nulltext.models.stable_diffusion_3:StableDiffusion3",
        summary="Stable Diffusion 3 or 3.5",
        networks=("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"),
        others=("tokenizer", "tokenizer_2", "tokenizer_3", "scheduler"),
        unused=("image_encoder", "feature_extractor"),
        optional=("text_encoder_3", "tokenizer_3"),
        guidance=7.0,
    ),
    "KandinskyV22CombinedPipeline": Family(
        path="nulltext.models.kandinsky_2_2:Kandinsky22",
        summary="Kandinsky 2.2, decoder and prior",
        networks=("unet", "movq", "prior_prior", "prior_image_encoder", "prior_text_encoder"),
        others=("prior_tokenizer", "scheduler", "prior_scheduler", "prior_image_processor"),
        guidance=4.0,
    ),
    "UnCLIPImageVariationPipeline": Family(
        path="nulltext.models.unclip:UnCLIP",
        summary="unCLIP (Karlo), its decoder of 64 pixels",
        networks=("decoder", "text_proj", "text_encoder", "image_encoder"),
        others=("tokenizer", "decoder_scheduler", "feature_extractor"),
        unused=("super_res_first", "super_res_last", "super_res_scheduler"),
        guidance=8.0,
    ),
    "StableDiffusionXLPipeline": Family(
        path="nulltext.models.stable_diffusion_xl:StableDiffusionXL",
        summary="Stable Diffusion XL, text to image",
        networks=("unet", "vae", "text_encoder", "text_encoder_2"),
        others=("tokenizer", "tokenizer_2", "scheduler"),
        unused=("feature_extractor", "image_encoder"),
        settings=("force_zeros_for_empty_prompt",),
        guidance=5.0,
    ),
    "StableDiffusionXLInpaintPipeline": Family(
        path="nulltext.models.stable_diffusion_xl:StableDiffusionXL",
        summary="Stable Diffusion XL, inpainting",
        networks=("unet", "vae", "text_encoder", "text_encoder_2"),
        others=("tokenizer", "tokenizer_2", "scheduler"),
        unused=("feature_extractor", "image_encoder"),
        settings=("force_zeros_for_empty_prompt",),
        guidance=7.5,
    ),
}
"""By the class of the pipeline, as ``model_index.json`` names it."""

IN_A_FILE: Final = FAMILIES["StableDiffusionPipeline"]
"""The family of the checkpoints in a single file, unless they say that they are of the next three."""
XL_IN_A_FILE: Final = FAMILIES["StableDiffusionXLPipeline"]
THIRD_IN_A_FILE: Final = FAMILIES["StableDiffusion3Pipeline"]
FLUX_IN_A_FILE: Final = FAMILIES["FluxPipeline"]


HALVES: Final[Mapping[str, str]] = {
    "KandinskyV22Pipeline": "the decoder of Kandinsky 2.2 without its prior",
    "KandinskyV22PriorPipeline": "the prior of Kandinsky 2.2 without a decoder",
}
"""Pipelines that are published in two folders, of which both are needed."""
BLIND: Final = "UnCLIPPipeline"
"""One that draws prompts and has nothing that sees an image."""


def family_of(index: Mapping[str, Any], name: object) -> Family:
    """The family of a checkpoint.

    Args:
        index: What its ``model_index.json`` holds.
        name: What to call it in errors.

    Raises:
        UnsupportedPipelineError: It is of no known family; says which there are.
    """
    kind = str(index.get("_class_name"))
    if "StableDiffusionXL" in kind and (index.get("requires_aesthetics_score") or _lacks_first_encoder(index)):
        raise UnsupportedPipelineError(
            f"{name} holds a {kind} that has one text encoder or asks for an aesthetic score: a Stable Diffusion XL "
            "refiner, which only goes on where the base checkpoint stopped; expected the base, such as "
            "stabilityai/stable-diffusion-xl-base-1.0."
        )
    if kind in HALVES:
        raise UnsupportedPipelineError(
            f"{name} holds a {kind}, {HALVES[kind]}; expected both in one folder. Make it: "
            'diffusers.AutoPipelineForText2Image.from_pretrained("kandinsky-community/kandinsky-2-2-decoder")'
            '.save_pretrained("kandinsky").'
        )
    if kind == BLIND:
        raise UnsupportedPipelineError(
            f"{name} holds a {kind}, which has no image encoder to see a photograph by; expected a "
            "UnCLIPImageVariationPipeline, such as kakaobrain/karlo-v1-alpha-image-variations."
        )
    if kind.startswith("IF") and "SuperResolution" in kind:
        raise UnsupportedPipelineError(
            f"{name} holds a {kind}, an upsampler of DeepFloyd IF: it draws a larger image anew, from noise, so that "
            "the photograph would not come back; expected stage I, an IFPipeline, such as DeepFloyd/IF-I-XL-v1.0."
        )
    if kind not in FAMILIES:
        known = " or ".join(f"a {each} ({family.summary})" for each, family in FAMILIES.items())
        raise UnsupportedPipelineError(
            f"{name} holds a {kind} (by its model_index.json); expected {known}. Choose such a checkpoint."
        )
    return FAMILIES[kind]


def _lacks_first_encoder(index: Mapping[str, Any]) -> bool:
    return index.get("text_encoder", ["transformers"]) in (None, [None, None])
