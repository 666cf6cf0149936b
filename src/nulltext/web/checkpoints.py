"""Models as the page lists them: which are on this machine; offline, the rest is refused at once."""

import os.path
import re
from pathlib import Path
from typing import Any

from huggingface_hub import constants, model_info, try_to_load_from_cache

from nulltext.models.capabilities import word_list_of
from nulltext.models.kinds import SINGLE_FILE
from nulltext.models.loading import EMBEDDED
from nulltext.web.workshop import Workshop

INDEX = "model_index.json"
"""What every folder of a model has."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SECONDS = 2.0
"""So long the hub may take to answer before this machine counts as offline."""


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
    """Whether a model is on this machine, as far as that can be told without reading it.

    Of folders and files that are no model this says the same as of none: it shall not tell what else is here.
    """
    if name == EMBEDDED or _is_file(f"{name}/{INDEX}") or (name.endswith(SINGLE_FILE) and _is_file(name)):
        return True
    return _HUB_ID.fullmatch(name) is not None and isinstance(try_to_load_from_cache(name, INDEX), str)


def can_be_had(name: str) -> bool:
    """Whether a model is here, or on the hub and can be fetched."""
    if is_here(name):
        return True
    if constants.HF_HUB_OFFLINE or _HUB_ID.fullmatch(name) is None or Path(name).exists():
        return False
    try:
        model_info(name, timeout=_SECONDS)
    except Exception:  # noqa: BLE001  a dozen kinds from the hub client and its transport
        return False
    return True


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  a `Path` raises where nobody may look
