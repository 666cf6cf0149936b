"""A model that reads prompts in chunks."""

from dataclasses import fields, replace
from typing import Any, cast

from nulltext.models.base import Model
from nulltext.models.text_encoder import PromptEncoder


def reading_chunks(model: Model, chunks: int) -> Model:
    """The same model, for prompts of so many times the tokens that its text encoders read.

    All its prompts then have as many chunks, short ones and the null text, too; an encoder that reads long prompts
    anyway is left as it is.
    """
    own = cast("Any", model)
    return replace(own, text=_reading(own.text, chunks))


def _reading(reader: Any, chunks: int) -> Any:  # noqa: ANN401  one text encoder, or several
    if isinstance(reader, tuple):
        return tuple(_reading(each, chunks) for each in cast("tuple[Any, ...]", reader))
    if isinstance(reader, PromptEncoder):
        return reader if reader.most is not None else replace(reader, chunks=chunks)
    several = {each.name: getattr(reader, each.name) for each in fields(reader)}
    encoders = {name: each for name, each in several.items() if isinstance(each, PromptEncoder | tuple)}
    return replace(reader, **{name: _reading(each, chunks) for name, each in encoders.items()})
