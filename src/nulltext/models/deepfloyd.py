"""DeepFloyd IF, its stage I: images of 64 x 64 pixels and no autoencoder (github.com/deep-floyd/IF).

It is built as Imagen is: Saharia et al., arXiv 2205.11487. The stages behind it draw a larger image anew, from noise
and the small one: what they add is theirs, and not the photograph's, and none of it is inverted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import diffusers
import torch
import transformers

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.schedule import ScheduleConfig
from nulltext.errors import UnsupportedPipelineError
from nulltext.models.base import Autoencoder, ModelIdentity
from nulltext.models.latent_model import LatentModel
from nulltext.models.layout import layout_for
from nulltext.models.offload import Offload
from nulltext.models.parts import (
    SCHEDULER,
    check_classes,
    check_encoder,
    ddim_config,
    read_networks,
    read_scheduler,
)
from nulltext.models.pixels import PixelSpace
from nulltext.models.quiet import quiet
from nulltext.models.recommended import Recommended
from nulltext.models.t5 import precision_of_t5, read_t5_tokenizer
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.unet import UNet
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Span, Tokens, check_text

ROWS: Final = 77
"""The rows of an embedding, as the pipeline has them: what the denoiser was trained with."""
_GUIDANCE: Final = 7.0
"""The pipeline's."""
_PIXELS: Final = 3
_BOUNDS: Final = ("thresholding", "clip_sample")
"""What keeps a scheduler's guesses of the image within bounds; the first goes before the second."""


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class LowerCaseReader:
    """A T5 that reads prompts in lower case and does not see the padding, see `nulltext.models.text_encoder`.

    Attributes:
        t5: The T5.
    """

    t5: PromptEncoder

    @property
    def length(self) -> int:
        """L, the rows of an embedding."""
        return self.t5.length

    @property
    def word_list(self) -> TaughtWords | None:
        """The words that the model was taught, if it has a list."""
        return self.t5.word_list

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002
        """Embeddings of prompts, as the pipeline computes them with ``clean_caption=False``, at every size.

        Raises:
            PromptError: A prompt has characters that are no text.
            PromptTooLongError: A prompt has more than L tokens; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        for prompt in prompts:
            self.check_prompt(prompt)
        ids, seen = self.t5.padded([_lowered(prompt)[0] for prompt in prompts])
        network = self.t5.network
        with torch.no_grad(), quiet(), self.t5.offload.in_use(network):
            states = network(ids, attention_mask=seen)[0]
        return Conditioning(text=states.float())

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:
        """The embedding of the empty text, one row."""
        return self.embed([""], size)

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing."""
        check_text(prompt)
        self.t5.check_prompt(_lowered(prompt)[0])

    def tokenize(self, prompt: str) -> Tokens:
        """A prompt as `embed` cuts it: row i of the embedding is token i, and the rows after the last are padding."""
        text, places = _lowered(prompt)
        cut = self.t5.tokenize(text)
        return Tokens(prompt, cut.ids, tuple(None if span is None else _back(span, places) for span in cut.spans))


def _lowered(prompt: str) -> tuple[str, list[int]]:
    """A prompt as it is read, and of each of its characters the place in the prompt; last the end of the prompt."""
    text = prompt.lower()
    places = [place for place, own in enumerate(prompt) for _ in own.lower()]  # some become two
    start = len(text) - len(text.lstrip())
    text = text.strip()
    return text, [*places[start : start + len(text)], len(prompt)]


def _back(span: Span, places: Sequence[int]) -> Span:
    """The characters of a prompt that some characters of its reading stand for."""
    start, end = span
    return places[start], places[end - 1] + 1 if end > start else places[start]


@final
@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a checkpoint is made of.

    Attributes:
        unet: ``UNet2DConditionModel``.
        text_encoder: ``T5EncoderModel``.
        tokenizer: Its tokenizer.
        scheduler_config: The config of any scheduler.
    """

    unet: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: Mapping[str, Any]


@final
class DeepFloyd:
    """The adapter of ``IFPipeline``, see `nulltext.models.families.Adapter`."""

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder in diffusers' format."""
        check_classes(folder, {"unet": "UNet2DConditionModel"})
        check_encoder(folder, index, "text_encoder", "T5EncoderModel")
        tokenizer = read_t5_tokenizer(folder / "tokenizer")
        networks = {
            "unet": ("unet", diffusers.UNet2DConditionModel),
            "text_encoder": ("text_encoder", transformers.T5EncoderModel),
        }
        return Parts(**read_networks(folder, networks), tokenizer=tokenizer, scheduler_config=read_scheduler(folder))

    @staticmethod
    def from_parts(
        parts: Parts,
        identity: ModelIdentity,
        *,
        device: torch.device,
        dtype: torch.dtype,
        recommended: Recommended | None = None,
        quantised: Autoencoder | None = None,
        word_list: Path | None = None,
        low_memory: bool = False,
    ) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        called, config = identity.id, parts.unet.config
        check_fit(config, parts.text_encoder.config.d_model, called)
        asked = ddim_config(parts.scheduler_config, f"{called}/{SCHEDULER}")
        scheduler: Mapping[str, Any] = {**asked, **dict.fromkeys(_BOUNDS, False)}
        ScheduleConfig.read(scheduler)
        left = next((f" without {name}" for name in _BOUNDS if asked[name]), "")
        offload = Offload(device, low_memory)
        t5 = PromptEncoder.ready(
            parts.text_encoder,
            parts.tokenizer,
            offload,
            called,
            None if word_list is None else TaughtWords.read(word_list, parts.tokenizer),
            most=ROWS,
            dtype=precision_of_t5(dtype),
        )
        return LatentModel(
            family=f"DeepFloyd IF, stage I{left}",
            identity=identity,
            device=device,
            text=LowerCaseReader(t5=t5),
            autoencoder=PixelSpace(device=device, where=f"in {dtype} with {called}"),
            unet=UNet.ready(
                parts.unet,
                device=device,
                dtype=dtype,
                layout=layout_for(device, dtype),
                prediction=scheduler["prediction_type"],
                low_memory=low_memory,
            ),
            scheduler_config=scheduler,
            recommended=recommended or Recommended(guidance=_GUIDANCE),
            quantised=quantised,
            patch=2 ** (len(config.block_out_channels) - 1),  # an odd number of cells is not doubled back
        )


def check_fit(unet: Any, width: int, model: str) -> None:  # noqa: ANN401  diffusers carries no types
    """Makes sure that a UNet is that of a stage I, made for its text encoder.

    Args:
        unet: Its config.
        width: D, of the text embeddings.
        model: What to call it in errors.

    Raises:
        UnsupportedPipelineError: It is not.
    """
    if unet.class_embed_type is not None or unet.in_channels != _PIXELS:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser takes {unet.in_channels} channels and has class_embed_type="
            f"{unet.class_embed_type!r}; expected {_PIXELS} and None, those of DeepFloyd IF's stage I. An upsampler "
            "(stage II) draws an image anew and cannot be used."
        )
    if unet.out_channels not in {_PIXELS, 2 * _PIXELS} or unet.sample_size is None:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser gives {unet.out_channels} channels and has sample_size={unet.sample_size!r}; "
            f"expected {_PIXELS}, or as many of a variance besides, and a size such as 64. Fetch the model again."
        )
    if unet.addition_embed_type != "text" or unet.encoder_hid_dim_type not in {None, "text_proj"}:
        raise UnsupportedPipelineError(
            f"{model}: unet/config.json has addition_embed_type={unet.addition_embed_type!r} and encoder_hid_dim_type="
            f"{unet.encoder_hid_dim_type!r}; expected 'text' and 'text_proj'. It is another kind of pipeline's: put "
            "in its place the checkpoint's own."
        )
    takes = unet.cross_attention_dim if unet.encoder_hid_dim is None else unet.encoder_hid_dim
    if takes != width:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser expects text embeddings of width {takes}, the text encoder gives {width}; expected "
            "a checkpoint with its own text encoder."
        )
