"""Models as the page lists them: which are on this machine; the rest is refused until somebody downloads it."""

from typing import Any

from nulltext.models.capabilities import word_list_of
from nulltext.models.hub import is_here
from nulltext.models.loading import EMBEDDED
from nulltext.web.workshop import Workshop


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
