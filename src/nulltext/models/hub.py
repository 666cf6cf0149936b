"""Models of the hub before they are here: whether it can be reached, what a model takes, and fetching it."""

import io
import os.path
import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, final

from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
from tqdm.std import tqdm

from nulltext.errors import Cancelled, ModelError, ModelNotFoundError, OutputWriteError, UnsupportedPipelineError
from nulltext.models import weights
from nulltext.models.configs import read_config
from nulltext.models.families import FAMILIES, Family, family_of
from nulltext.models.kinds import SINGLE_FILE
from nulltext.models.loading import EMBEDDED
from nulltext.models.networks import first_line
from nulltext.models.reach import answers
from nulltext.models.recommended import FILE

AT_ONCE: Final = 1.0
"""Seconds in which the hub has to take a connection; else this machine counts as offline."""
_ANSWER: Final = 10.0
"""Seconds for it to say what a model has."""
_BESIDE: Final = (".json", ".txt", ".model")
"""What stands beside weights: configs, vocabularies, merges."""
INDEX: Final = "model_index.json"
"""What every folder of a model has."""
_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_AT_THE_TOP: Final = (INDEX, FILE, "words.txt")


@final
@dataclass(frozen=True, kw_only=True)
class Needed:
    """What a model takes that is not here.

    Attributes:
        revision: The commit.
        files: Of it, by their paths.
        bytes: All of them together.
    """

    revision: str
    files: tuple[str, ...]
    bytes: int


def check_reachable(name: str) -> None:
    """Refuses what would have to be fetched where nothing can be, after a second at the most.

    Raises:
        ModelNotFoundError: This machine is offline, or was told to be.
    """
    if not answers(AT_ONCE):
        raise ModelNotFoundError(
            f"the model {name[:100]!r} is not on this machine, and the hub cannot be reached from it; expected a model "
            "that is here. Choose another, or connect the machine to the network."
        )


def needed(name: str) -> Needed:
    """Asks the hub what a model takes; fetches nothing.

    Raises:
        ModelNotFoundError: It cannot be reached, or there is no such model for who asks.
        UnsupportedPipelineError: The model is of no known family.
    """
    check_reachable(name)
    try:
        info: Any = HfApi(endpoint=constants.ENDPOINT).model_info(name, files_metadata=True, timeout=_ANSWER)
    except Exception as error:  # a dozen kinds from the hub's client and its transport
        raise _not_there(name, error) from error
    sizes = {each.rfilename: each.size or 0 for each in info.siblings or ()}
    config: Any = info.config or {}
    pipeline: str | None = (config.get("diffusers") or {}).get("_class_name")
    if INDEX not in sizes or (pipeline is not None and pipeline not in FAMILIES):
        raise UnsupportedPipelineError(
            f"{name[:100]!r} on the hub is {pipeline or 'no model in the format of diffusers'}; expected one of "
            f"{', '.join(FAMILIES)}. Choose another."
        )
    files = tuple(loaded_of(sizes, None if pipeline is None else FAMILIES[pipeline]))
    return Needed(revision=info.sha, files=files, bytes=sum(sizes[each] for each in files))


def loaded_of(names: Collection[str], family: Family | None = None) -> list[str]:
    """Of the files of a model in diffusers' format those that loading it reads, as far as their names tell.

    Args:
        names: Their paths.
        family: Which it is of; None if that is not known.
    """
    parts: dict[str, list[PurePosixPath]] = {}
    for each in sorted(map(PurePosixPath, names)):
        if len(each.parts) == 2 and (family is None or each.parts[0] not in family.unused):  # noqa: PLR2004  part/file
            parts.setdefault(each.parts[0], []).append(each)
    plain = [weights.among(files, None) for files in parts.values()]
    half = [weights.among(files, weights.HALF) for files in parts.values()]
    # Where one network is there in half precision alone, all are loaded so that have it.
    halved = any(own and not full for own, full in zip(half, plain, strict=True))
    found = [file for own, full in zip(half, plain, strict=True) for file in ((own or full) if halved else full)]
    found += [file for files in parts.values() for file in files if file.suffix in _BESIDE]
    return sorted([*map(str, found), *(name for name in names if name in _AT_THE_TOP)])


def fetch(name: str, wanted: Needed, on_bytes: Callable[[int], None]) -> Path:
    """Fetches a model; what is here already is not fetched again.

    Args:
        name: Its hub id.
        wanted: What `needed` says.
        on_bytes: Called with how many bytes are here; may raise `Cancelled`.

    Returns:
        Its folder.

    Raises:
        ModelNotFoundError: The hub broke off.
        OutputWriteError: There is not enough room.
        Cancelled: As `on_bytes` wants.
    """
    root = Path(constants.HF_HUB_CACHE)
    root.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(root).free) < wanted.bytes:
        raise OutputWriteError(
            f"{name[:100]!r} takes {wanted.bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; expected as much. "
            "Make room, or name another disk by HF_HOME."
        )
    seen: dict[int, float] = {}

    class Bar(tqdm):  # pyright: ignore[reportMissingTypeArgument]  it takes one in its types alone
        """A bar that nobody sees, of which the most counts: some count what comes, some what is written."""

        def __init__(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401  as tqdm's own
            super().__init__(*args, **{**settings, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            done = super().update(n)
            if self.unit == "B":
                seen[id(self)] = self.n
                on_bytes(int(max(seen.values())))
            return done

    download: Any = snapshot_download  # it is typed as wanting asyncio's bars, and needs none of it
    try:
        folder: str = download(
            name,
            revision=wanted.revision,
            cache_dir=root,
            endpoint=constants.ENDPOINT,
            allow_patterns=list(wanted.files),
            tqdm_class=Bar,
        )
    except Cancelled:
        raise
    except Exception as error:
        raise _not_there(name, error) from error
    _name_main(root, name, wanted.revision)
    return Path(folder)


def _name_main(root: Path, name: str, revision: str) -> None:
    """Says which commit is the newest, which who asks without one looks for."""
    refs = root / f"models--{name.replace('/', '--')}" / "refs"
    refs.mkdir(parents=True, exist_ok=True)
    (refs / constants.DEFAULT_REVISION).write_text(revision)


def is_complete(name: str) -> bool:
    """Whether all of a hub id is here that loading it reads, as far as can be told without reading the weights."""
    index = try_to_load_from_cache(name, INDEX, cache_dir=constants.HF_HUB_CACHE)
    if not isinstance(index, str):
        return False
    folder = Path(index).parent
    try:
        stated = read_config(Path(index))
        family = family_of(stated, name)
    except ModelError:
        return True  # whoever loads it says what is wrong
    parts = [part for part in family.parts if (stated.get(part) or [None])[0] is not None]
    variant = weights.variant(folder, [part for part in family.networks if part in parts])
    return all(
        (folder / part).is_dir()
        and (part not in family.networks or weights.are_whole(weights.loaded_from(folder / part, variant)[0]))
        for part in parts
    )


def is_here(name: str) -> bool:
    """Whether a model is on this machine, as far as that can be told without reading it.

    Of folders and files that are no model this says the same as of none: a server shall not tell what else is here.
    """
    if name == EMBEDDED or _is_file(f"{name}/{INDEX}") or (name.endswith(SINGLE_FILE) and _is_file(name)):
        return True
    return _ID.fullmatch(name) is not None and is_complete(name)


def is_away(name: str) -> bool:
    """Whether a model is a hub id that is not on this machine; whoever loads what is no hub id says what is wrong."""
    return _ID.fullmatch(name) is not None and not is_here(name) and not os.path.lexists(name)


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  a `Path` raises where nobody may look


def check_here(name: str) -> None:
    """Refuses a model that would have to be fetched.

    Raises:
        ModelNotFoundError: It is not here.
    """
    if _ID.fullmatch(name) is not None and not is_here(name):
        raise ModelNotFoundError(
            f"the model {name[:100]!r} is not on this machine; expected one that is here. Download it first, or choose "
            "another."
        )


def _not_there(name: str, error: Exception) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"cannot get {name[:100]!r} from the hub: {first_line(error)}. If the name is right, log in if the model is "
        "gated, or try again."
    )
