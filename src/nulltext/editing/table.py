"""The methods of editing, and those of finding masks. A new one is a file of its own and a row here.

What a row names is public: `nulltext.NAME` loads it, and type checkers find it by its import beside the table.
"""

from typing import TYPE_CHECKING, Final

from nulltext.tables import Entry, Table

if TYPE_CHECKING:
    from nulltext.editing.mask_sources.diffedit import DiffEditMask as DiffEditMask
    from nulltext.editing.methods.blended_diffusion import BlendedDiffusion as BlendedDiffusion
    from nulltext.editing.methods.from_noise import FromNoise as FromNoise
    from nulltext.editing.methods.inpaint import Inpaint as Inpaint
    from nulltext.editing.methods.masactrl import MasaCtrl as MasaCtrl
    from nulltext.editing.methods.prompt_swap import PromptSwap as PromptSwap
    from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt as PromptToPrompt
    from nulltext.editing.methods.sdedit import SDEdit as SDEdit
    from nulltext.editing.methods.text2live import Text2LIVE as Text2LIVE
    from nulltext.editing.methods.text_diff import TextDiff as TextDiff
    from nulltext.editing.methods.vqgan_clip import VQGANCLIP as VQGANCLIP

_AT: Final = "nulltext.editing.methods"

EDITORS: Final[Table] = {
    "prompt-to-prompt": Entry(
        f"{_AT}.prompt_to_prompt:PromptToPrompt",
        "takes the edit's attention from the source's, and keeps its layout",
    ),
    "masactrl": Entry(f"{_AT}.masactrl:MasaCtrl", "a layout by the new prompt, filled with what the source looks like"),
    "prompt-swap": Entry(f"{_AT}.prompt_swap:PromptSwap", "the new prompt in the old one's place, and no more"),
    "sdedit": Entry(f"{_AT}.sdedit:SDEdit", "adds noise to the image and samples the rest under the new prompt"),
    "text-diff": Entry(f"{_AT}.text_diff:TextDiff", "turns the image's embedding by what tells the prompts apart"),
    "from-noise": Entry(f"{_AT}.from_noise:FromNoise", "samples the new prompt from noise; keeps nothing of the image"),
    "vqgan-clip": Entry(f"{_AT}.vqgan_clip:VQGANCLIP", "moves the latents until CLIP sees the new prompt"),
    "text2live": Entry(f"{_AT}.text2live:Text2LIVE", "trains a network that paints a layer over the image"),
    "inpaint": Entry(f"{_AT}.inpaint:Inpaint", "samples inside a mask, by a checkpoint made for inpainting"),
    "blended-diffusion": Entry(
        f"{_AT}.blended_diffusion:BlendedDiffusion", "samples inside a mask, by any model; the source stays outside"
    ),
}
"""By the word that stands for each."""

MASKS: Final[Table] = {
    "diffedit": Entry(
        "nulltext.editing.mask_sources.diffedit:DiffEditMask", "where both prompts disagree on the noise"
    ),
}
"""What finds the mask of a blend, by the word that stands for each."""

EDITOR: Final = "prompt-to-prompt"
"""The one that is taken unless another is asked for."""
