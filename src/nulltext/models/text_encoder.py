"""A text encoder of transformers with its tokenizer: prompts as embeddings."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, takewhile
from typing import Any, Protocol, cast, final, runtime_checkable

import torch

from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import ModelLoadError, PromptTooLongError, shown
from nulltext.models.build import Build
from nulltext.models.chunks import MARKS, MOST_CHUNKS, in_chunks, joined
from nulltext.models.networks import first_line
from nulltext.models.offload import Offload
from nulltext.models.quiet import quiet
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Span, Tokens, check_text


@runtime_checkable
class PromptReader(Protocol):
    """Reads prompts for a model: one text encoder, or several."""

    @property
    def length(self) -> int:
        """L, the tokens of an embedding, the two that mark start and end among them."""
        ...

    @property
    def word_list(self) -> TaughtWords | None:
        """The words that the model was taught, if it has a list."""
        ...

    def embed(self, prompts: Sequence[str], size: tuple[int, int]) -> Conditioning:
        """What prompts tell the network of an image of a size, (height, width) in pixels; a row for each."""
        ...

    def null(self, size: tuple[int, int]) -> Conditioning:
        """What stands for "no prompt", one row."""
        ...

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing."""
        ...

    def tokenize(self, prompt: str) -> Tokens:
        """A prompt as `embed` cuts it: row i of the embedding is token i, and the rows after the last are padding."""
        ...


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class PromptEncoder:
    """A frozen text encoder. It runs once for an image and stays in float32: its rounding would be in every result.

    Attributes:
        network: ``CLIPTextModel``, or another of transformers' that reads tokens and returns states first.
        tokenizer: Its tokenizer.
        offload: Where it computes.
        model: What errors call the model.
        word_list: The words that the model was taught, if it has a list.
        most: The tokens of an embedding, where the network itself reads any number.
        chunks: How many runs of as many tokens as the network reads make up a prompt; it reads one after the other.
    """

    network: Any
    tokenizer: Any
    offload: Offload
    model: str
    word_list: TaughtWords | None = None
    most: int | None = None
    chunks: int = 1

    @classmethod
    def ready(
        cls,
        network: Any,  # noqa: ANN401  transformers carries no types
        tokenizer: Any,  # noqa: ANN401  nor here
        build: Build,
        word_list: TaughtWords | None = None,
        *,
        part: str = "text_encoder",
        most: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "PromptEncoder":
        """Takes over a network: puts it where it waits, and freezes it.

        Args:
            network: See above.
            tokenizer: Its tokenizer.
            build: How the model is made.
            word_list: The words that the model was taught.
            part: The folder that errors name.
            most: The tokens of an embedding, where the network itself reads any number.
            dtype: Its precision.

        Raises:
            ModelLoadError: Network and tokenizer are not made for each other, or the network does not work.
        """
        offload, model = build.offload, build.called
        known, events = network.get_input_embeddings().num_embeddings, len(tokenizer)
        if events > known:
            raise ModelLoadError(
                f"{model}: the tokenizer has {events} tokens, the text encoder {known}; expected no more. One of the "
                "two is another checkpoint's: fetch the tokenizer and the text encoder again, from the same place."
            )
        with quiet():
            network.to(device=offload.waiting, dtype=dtype)
        _check_reads(network, f"{model}: {part}")
        network.requires_grad_(requires_grad=False).eval()
        return cls(network=network, tokenizer=tokenizer, offload=offload, model=model, word_list=word_list, most=most)

    @property
    def length(self) -> int:
        """L, the tokens of an embedding, the two that mark start and end of each chunk among them."""
        return self.chunks * self.chunk

    @property
    def chunk(self) -> int:
        """The tokens that the network reads at once."""
        if self.most is not None:
            return self.most
        return min(self.tokenizer.model_max_length, self.network.config.max_position_embeddings)

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002  the same at every size
        """Embeddings of prompts, as the pipeline computes them, at every size.

        Raises:
            PromptError: A prompt has characters that are no text.
            PromptTooLongError: A prompt has more than L tokens; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        for prompt in prompts:
            self.check_prompt(prompt)
        return Conditioning(text=self.read(prompts)[0].float())

    def read(self, prompts: Sequence[str], **settings: bool) -> Any:  # noqa: ANN401  of a class for each network
        """What the network returns of prompts that were checked.

        Args:
            prompts: B of them.
            settings: Further arguments of its ``forward``.
        """
        ids, seen = self.padded(prompts)
        # Most checkpoints attend to the padding as well; those that do not say so in their config.
        masked: bool = getattr(self.network.config, "use_attention_mask", False)
        ids, seen = (each.reshape(-1, self.chunk) for each in (ids, seen))
        with torch.no_grad(), quiet(), self.offload.in_use(self.network):
            output = self.network(ids, attention_mask=seen if masked else None, **settings)
        return output if self.chunks == 1 else joined(output, self.chunks)

    def padded(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, L] the numbers of prompts' tokens and of the padding behind them, and 1 for each that is no padding."""
        cut = [[own.ids for _, own in self.tokenize(prompt).sections(self.length)] for prompt in prompts]
        length, padding, device = self.chunk, self.tokenizer.pad_token_id, self.offload.device
        ids = [[each for own in row for each in (*own, *[padding] * (length - len(own)))] for row in cut]
        seen = [[each for own in row for each in [1] * len(own) + [0] * (length - len(own))] for row in cut]
        return torch.tensor(ids, device=device), torch.tensor(seen, device=device)

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:
        """The embedding of the empty text, one row."""
        return self.embed([""], size)

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing.

        Raises:
            PromptError: See `embed`.
        """
        check_text(prompt)
        if self.word_list is not None:
            self.word_list.check(prompt, self.model)
        self._check_length(prompt)

    def tokenize(self, prompt: str) -> Tokens:
        """A prompt as `embed` cuts it: row i of the embedding is token i, and the rows after the last are padding.

        A word that was learnt as several vectors (textual inversion, Gal et al., arXiv 2208.01618) is as many tokens,
        each of which stands for the whole word.
        """
        cut = self.tokenizer(
            prompt, truncation=False, verbose=False, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        ids: list[int] = []
        spans: list[Span | None] = []
        for token, following, (start, end), mark in zip(
            cut.input_ids, [*cut.input_ids[1:], None], cut.offset_mapping, cut.special_tokens_mask, strict=True
        ):
            further = self._further.get(token, ())
            whole = [token] if further[:1] == (following,) else [token, *further]  # written out by hand
            ids += whole
            spans += [None if mark else (int(start), int(end))] * len(whole)
        whole = Tokens(prompt, tuple(ids), tuple(spans))
        return whole if self.chunks == 1 else in_chunks(whole, self.chunk, self.chunks)

    @cached_property
    def _further(self) -> Mapping[int, tuple[int, ...]]:
        """Of each token that was learnt as several vectors, the others: `<cat>` is followed by `<cat>_1`, `<cat>_2`."""
        added: dict[str, int] = self.tokenizer.get_added_vocab()
        found: dict[int, tuple[int, ...]] = {}
        for word, token in added.items():
            numbered = (added.get(f"{word}_{number}") for number in count(1))
            if further := tuple(cast("Iterator[int]", takewhile(lambda other: other is not None, numbered))):
                found[token] = further
        return found

    def _chunks_for(self, prompt: str) -> int | None:
        """How many chunks a prompt takes; None where there are none, or too few."""
        if self.most is not None:
            return None
        fit = (each for each in range(1, MOST_CHUNKS + 1) if self._rows(prompt, each) <= each * self.chunk)
        return next(fit, None)

    def _rows(self, prompt: str, chunks: int) -> int:
        return replace(self, chunks=chunks).tokenize(prompt).rows

    def _check_length(self, prompt: str) -> None:
        def tokens(text: str) -> int:
            return self.tokenize(text).rows

        length, limit = tokens(prompt), self.length
        if length <= limit:
            return
        words = prompt.split()
        counts = range(1, len(words) + 1)
        fit = bisect_right(counts, limit, key=lambda first: tokens(" ".join(words[:first])))
        raise PromptTooLongError(
            f"the prompt has {self._rows(prompt, 1) - MARKS} tokens; {self.model} reads {limit - MARKS * self.chunks}. "
            f"These words do not fit: {shown(' '.join(words[fit:]))}. Leave out {length - limit} tokens or more"
            + (
                "."
                if (chunks := self._chunks_for(prompt)) is None
                else f", or load the model with --chunks {chunks}, load(chunks={chunks})."
            )
        )


def _check_reads(network: Any, where: str) -> None:  # noqa: ANN401  transformers carries no types
    """Makes sure that a text encoder works: some values of its config are only found wrong when it does."""
    try:
        with torch.no_grad(), quiet():
            network(torch.zeros(1, 2, dtype=torch.long, device=network.device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"{where}/config.json describes no text encoder that works: {first_line(error)}. "
            "Correct it, or fetch the model again."
        ) from error
