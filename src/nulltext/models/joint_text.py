"""Prompts as Stable Diffusion 3 reads them: by two CLIPs, and by a T5 behind them if there is one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor
from torch.nn import functional as F

from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import UnsupportedPipelineError
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Tokens

T5_ROWS: Final = 256
"""The rows of an embedding that are T5's, as the pipeline has them (``max_sequence_length``)."""


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class JointEncoder:
    """The text encoders of Stable Diffusion 3: Esser et al., arXiv 2403.03206, section B.3.

    An embedding has a row for every token of the CLIPs, which cut prompts alike: the penultimate states of both side by
    side, and zeros. Behind them are those of T5. Where there is no T5 the pipeline has zeros in the place of its rows;
    here they are one row, which the network counts as many times, see `nulltext.attention.joint`.

    Attributes:
        clips: The two CLIPs.
        t5: T5, if there is one.
        width: D, of the embeddings.
    """

    clips: tuple[PromptEncoder, PromptEncoder]
    t5: PromptEncoder | None
    width: int

    @classmethod
    def ready(cls, clips: tuple[PromptEncoder, PromptEncoder], t5: PromptEncoder | None, width: int) -> "JointEncoder":
        """Of encoders that are ready.

        Raises:
            UnsupportedPipelineError: The CLIPs cut prompts in two ways.
        """
        first, second = clips
        if first.length != second.length or first.tokenizer.get_vocab() != second.tokenizer.get_vocab():
            raise UnsupportedPipelineError(
                f"{first.model}: tokenizer and tokenizer_2 have different words or lengths ({first.length} and "
                f"{second.length}); expected them to cut a prompt alike. Fetch both again, from the same place."
            )
        return cls(clips=clips, t5=t5, width=width)

    @property
    def length(self) -> int:
        """L, the rows of an embedding."""
        return self.clips[0].length + (1 if self.t5 is None else self.t5.length)

    @property
    def word_list(self) -> TaughtWords | None:
        """The words that the model was taught, if it has a list."""
        return self.clips[0].word_list

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        """Embeddings of prompts, and the pooled ones of both CLIPs, as the pipeline computes them, at every size.

        Raises:
            PromptError: A prompt has characters that are no text.
            PromptTooLongError: A prompt has more tokens than the CLIPs or T5 read; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        for prompt in prompts:
            self.check_prompt(prompt)
        (first, pooled), (second, other) = (_states(clip, prompts) for clip in self.clips)
        text = torch.cat([first, second], -1)
        text = F.pad(text, (0, self.width - text.shape[-1]))
        behind = text.new_zeros(len(text), 1, self.width) if self.t5 is None else self.t5.embed(prompts, size).text
        return Conditioning(text=torch.cat([text, behind], 1), pooled=torch.cat([pooled, other], -1))

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:
        """The embedding of the empty text, one row."""
        return self.embed([""], size)

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing.

        Raises:
            PromptError: See `embed`.
        """
        self.clips[0].check_prompt(prompt)
        if self.t5 is not None:
            self.t5.check_prompt(prompt)

    def tokenize(self, prompt: str) -> Tokens:
        """A prompt as the CLIPs cut it, and behind it as T5 does: a word has rows of both.

        The row that stands for a T5 that is missing counts as a mark.
        """
        behind = Tokens(prompt, (0,), (None,)) if self.t5 is None else self.t5.tokenize(prompt)
        return self.clips[0].tokenize(prompt).followed_by(self.clips[0].length, behind)


def _states(clip: PromptEncoder, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The penultimate states of prompts in a CLIP, [B, L, D], and its pooled embeddings, [B, P]."""
    output = clip.read(prompts, output_hidden_states=True)
    return output.hidden_states[-2].float(), output.text_embeds.float()
