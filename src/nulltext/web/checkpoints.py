"""Models as the page lists them: which are on this machine; offline, the rest is refused at once."""

import socket
from pathlib import Path
from typing import Any

from huggingface_hub import constants, try_to_load_from_cache

from nulltext.errors import ModelNotFoundError
from nulltext.models.capabilities import word_list_of
from nulltext.models.loading import EMBEDDED
from nulltext.web.workshop import Workshop

_HUB = ("huggingface.co", 443)
_SECONDS = 2.0
"""So long the hub may take to answer at all before this machine counts as offline."""


def models(workshop: Workshop) -> list[dict[str, Any]]:
    """Every model that may be chosen, as JSON."""
    return [_model(workshop, name) for name in workshop.models]


def _model(workshop: Workshop, name: str) -> dict[str, Any]:
    loaded = workshop.at_hand(name)
    listed = None if loaded is None else word_list_of(loaded)
    return {
        "name": name,
        "embedded": name == EMBEDDED,
        "here": loaded is not None or is_here(name),
        "loaded": loaded is not None,
        "size": None if loaded is None else list(loaded.default_size),
        "words": None if listed is None else sorted(listed.words),
        "recommended": None
        if loaded is None
        else {"cross": loaded.recommended.cross_attention, "self_share": loaded.recommended.self_attention},
    }


def is_here(name: str) -> bool:
    """Whether a model is on this machine, as far as that can be told without reading it."""
    if name == EMBEDDED or Path(name).exists():
        return True
    if name.count("/") != 1:
        return False
    return isinstance(try_to_load_from_cache(name, "model_index.json"), str)


def check_reachable(name: str) -> None:
    """Refuses a model that would have to be fetched where nothing can be.

    Raises:
        ModelNotFoundError: It is not here, and the hub does not answer.
    """
    if is_here(name):
        return
    reached = not constants.HF_HUB_OFFLINE
    if reached:
        try:
            socket.create_connection(_HUB, timeout=_SECONDS).close()
        except OSError:
            reached = False
    if not reached:
        raise ModelNotFoundError(
            f"the model {name[:100]!r} is not on this machine, and the hub cannot be reached from it; expected a model "
            "that is here. Choose another, or connect the machine to the network."
        )
