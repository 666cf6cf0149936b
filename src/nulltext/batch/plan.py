"""What holds for all rows of a batch, and what it makes of a row: a job, or the reason why there is none."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePosixPath
from string import Formatter
from typing import Any, Final, Literal, cast, final, get_args

from PIL import Image

from nulltext import __version__
from nulltext.batch.row import Row
from nulltext.batch.storage import Storage
from nulltext.editing.base import Editor
from nulltext.editing.blend import Blend
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.editing.table import EDITORS
from nulltext.errors import ManifestError, NulltextError, SettingError, shown
from nulltext.images import Fit
from nulltext.inversion.invert import Inverter
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.table import INVERTERS
from nulltext.models.base import ModelIdentity
from nulltext.spelling.compact import value_of
from nulltext.spelling.options import Setting, changed, settings_of
from nulltext.spelling.records import record
from nulltext.tables import row as row_of

Format = Literal["png", "jpeg", "webp"]
SUFFIXES: Final[Mapping[str, str]] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
_SIZE: Final = re.compile(r"([0-9]{1,5})[xX]([0-9]{1,5})")
_OF_THE_MANIFEST: Final = ("number", "given", "settings", "keys", "left")
"""What a row says that no image depends on as it is written."""
_WIDTH: Final = re.compile(r"(0?[1-9][0-9]?)?d?")
_UNWRITABLE: Final = re.compile(r"[\x00-\x1f\ud800-\udfff]")
"""What no name should have: what a terminal would obey, and half characters."""
_WHOLE: Final = re.compile(r"-?[0-9]+\.0+")
_BOTH: Final = frozenset({"seed"})
"""Settings that a row says of method and editor at once, where both have them; of others the method takes them."""


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done with every row that does not say otherwise.

    Attributes:
        inverter: The method of inversion.
        editor: The editor.
        model: The name of the model, as for `nulltext.load`.
        loading: More of what `nulltext.load` takes, but for the device, by name.
        size: "HxW" in pixels to fit to; "" for the model's own.
        fit: How photographs are brought to that size.
        format: Of the edited images.
        name: What they are called without an ending: a pattern of ``{id}``, ``{stem}`` (the photograph's own name),
            ``{number}`` of the row, ``{edit}`` (which of its edits, from 1). Slashes make folders. Where it lacks
            ``{edit}``, that follows the names of rows that have several.
        inversions: Whether the inversions are kept as well.
        gps: Whether the place that a camera wrote into a photograph goes into its edits.
        at_once: At most so many images share a batch of the network; None is what the device takes.

    Raises:
        SettingError: The name pattern or the size makes no sense.
    """

    inverter: Inverter = field(default_factory=DirectInversion)
    editor: Editor = field(default_factory=PromptToPrompt)
    model: str = "scenes"
    loading: Mapping[str, Any] = field(default_factory=dict[str, Any])
    size: str = ""
    fit: Fit = "crop"
    format: Format = "png"
    name: str = "{id}"
    inversions: bool = False
    gps: bool = False
    at_once: int | None = None

    def __post_init__(self) -> None:
        for name, given, known in (("format", self.format, get_args(Format)), ("fit", self.fit, get_args(Fit))):
            if given not in known:
                raise SettingError(f"got {name} {shown(given)}; expected {' or '.join(known)}.")
        parse_size(self.size)
        if not _is_pattern(self.name):
            raise SettingError(
                f"got the name pattern {shown(self.name)}; expected text with {{id}}, {{stem}}, {{number}} or {{edit}}."
            )

    def job(self, row: Row) -> "Job":
        """What is to be done for a row, before anything of it is opened.

        Raises:
            NulltextError: The row makes no sense.
        """
        if row.fault:
            raise ManifestError(f"row {row.number}: {row.fault}")
        if not row.image:
            raise ManifestError(f"row {row.number} has no image; expected a path or an address in the column 'image'.")
        if not row.edits:
            raise ManifestError(f"row {row.number} has no edit; expected a new prompt in the column 'edit'.")
        inverter, editor = self._methods(row.settings)
        if row.mask and not takes_mask(editor):
            raise ManifestError(
                f"got a mask with {type(editor).__name__}, which takes none. Leave it out, or take another editor."
            )
        count = len(row.edits)
        return Job(
            row=row,
            inverter=inverter,
            editor=editor,
            size=parse_size(row.size or self.size),
            outputs=tuple(self._name(row, at + 1, count) + SUFFIXES[self.format] for at in range(count)),
            inversion=f"inversions/{_safe(row.id)}.safetensors" if self.inversions else "",
        )

    def keys(self, row: Row, identity: str) -> tuple[str, ...]:
        """For each edit of a row a digest of all that its image depends on; as if there were one where there is none.

        Args:
            row: The row.
            identity: Which weights are used.
        """
        here = Storage("")
        common: dict[str, Any] = {
            "row": {**row.__dict__, "edits": len(row.edits) > 1, **dict.fromkeys(_OF_THE_MANIFEST)},
            "settings": self._settled(row.settings),
            "image": here.stamp(row.image),
            "mask": here.stamp(row.mask) if row.mask else "",
            "model": identity,
            "version": __version__,
            "plan": self.record(),
        }
        text = json.dumps(common, sort_keys=True, ensure_ascii=False, default=str)
        edits = row.edits or ("",)
        chained = chains(self.editor) or "chain" in row.settings or "editor.chain" in row.settings
        return tuple(
            hashlib.sha256(
                "\n".join([text, f"{at}", *(edits[:at] if chained else ()), edit]).encode(errors="surrogatepass")
            ).hexdigest()[:32]
            for at, edit in enumerate(edits)
        )

    def _settled(self, given: Mapping[str, Any]) -> object:
        """What settings come to, however a manifest writes them; as they are where they make no sense."""
        try:
            inverter, editor = self._methods(given)
        except NulltextError:
            return given
        return [
            *(word for each in (inverter, editor) for word in (type(each).__name__, record(each))),
            str(_local(editor)),
        ]

    def record(self) -> dict[str, Any]:
        """The plan as JSON can hold it, but for what changes no image."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            **{name: value for name, value in values.items() if name not in {"at_once", "inverter", "editor"}},
            "loading": {name: str(value) for name, value in self.loading.items()},
            "method": [type(self.inverter).__name__, record(self.inverter)],
            "editor": [type(self.editor).__name__, record(self.editor), str(_local(self.editor))],
        }

    def _methods(self, given: Mapping[str, Any]) -> tuple[Inverter, Editor]:
        """Method and editor with what a row says of them."""
        inverter = _named(self.inverter, INVERTERS, given.get("method"), "the column method")
        editor = _named(self.editor, EDITORS, given.get("editor"), "the column editor")
        mine: dict[str, dict[str, Any]] = {"method": {}, "editor": {}}
        known = {"method": names_of(inverter.__class__), "editor": names_of(editor.__class__)}
        for name, value in given.items():
            if name in {"method", "editor"}:
                continue
            of, _, key = name.replace("-", "_").rpartition(".")
            takers = [word for word in ("method", "editor") if key in known[word] and of in ("", word)]
            if not takers:
                raise ManifestError(
                    f"got the column {shown(name)}, which is no setting of {type(inverter).__name__} or "
                    f"{type(editor).__name__}. Mend its name, or leave it out with --ignore."
                )
            for word in takers if key in _BOTH else takers[:1]:
                setting = known[word][key]
                mine[word][setting.key] = _typed(setting, value)
        return changed(inverter, mine["method"]), changed(editor, mine["editor"])

    def _name(self, row: Row, edit: int, count: int) -> str:
        stem = PurePosixPath(row.image.replace("\\", "/")).stem
        name = self.name.format(id=row.id, stem=stem, number=row.number, edit=edit)
        return "images/" + _safe(name if count == 1 or "{edit" in self.name else f"{name}-{edit}")


@final
@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be done for a row.

    Attributes:
        row: The row.
        inverter: The method, with the row's own settings.
        editor: The editor, likewise.
        size: (height, width) to fit to; None for the model's own.
        outputs: Where the edited images go, by name in the folder of results.
        inversion: Where the inversion goes; "" for nowhere.
    """

    row: Row
    inverter: Inverter
    editor: Editor
    size: tuple[int, int] | None
    outputs: tuple[str, ...]
    inversion: str


def _is_pattern(text: str) -> bool:
    """Whether a name pattern has those fields alone, numbers of a width of two digits at most: {number:05d}."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        return False
    return bool(text.strip()) and all(
        name is None
        or (not conversion and (name in {"id", "stem"} and not spec))
        or (not conversion and name in {"number", "edit"} and _WIDTH.fullmatch(spec or "") is not None)
        for _, name, spec, conversion in parts
    )


def parse_size(size: str) -> tuple[int, int] | None:
    """(height, width) of "128x192"; None of "".

    Raises:
        SettingError: It is no size.
    """
    if not size:
        return None
    match = _SIZE.fullmatch(size)
    if match is None:
        raise SettingError(f"got the size {shown(size)}; expected height and width in pixels, as in 128x192.")
    return int(match[1]), int(match[2])


def _named(method: Any, table: Any, word: object, what: str) -> Any:  # noqa: ANN401  a method of either table
    """The plan's method, or another that a row names, with its own defaults."""
    if word is None:
        return method
    if not isinstance(word, str):
        raise SettingError(f"got {shown(word)} in {what}; expected {', '.join(table)}.")
    cls = row_of(table, word, what).load()
    return method if type(method) is cls else cls()


def _typed(setting: Setting, value: Any) -> Any:  # noqa: ANN401  of the setting's type
    """A setting's value as the command line would have it."""
    if setting.many:
        return [str(each) for each in cast("list[Any]", value)] if isinstance(value, list) else [str(value)]
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    try:
        return value_of(setting, text)
    except SettingError:
        if _WHOLE.fullmatch(text) is None:  # as a table writes whole numbers of which some are missing
            raise
        return value_of(setting, text.partition(".")[0])


def name_of(identity: ModelIdentity) -> str:
    """Which weights they are, with what was added to them, in a line."""
    return " ".join([identity.id, identity.revision, *map(repr, identity.additions)])


def names_of(cls: type[Any]) -> dict[str, Setting]:
    """The settings of a method by the names that a column may have: that of the field, or of the option."""
    each = settings_of(cls)
    return {one.option.removeprefix("--").replace("-", "_"): one for one in each} | {one.key: one for one in each}


def chains(editor: Editor) -> bool:
    """Whether an edit depends on those before it in its row."""
    return bool(getattr(editor, "chain", False))


def takes_mask(editor: Editor) -> bool:
    """Whether an editor can be kept to a part of the image."""
    return not {"mask", "blend"}.isdisjoint(each.name for each in fields(cast("Any", editor)))


def with_mask(editor: Editor, mask: Image.Image) -> Editor:
    """An editor that changes only what is white in an image; one that `takes_mask`."""
    change: dict[str, Any] = {"mask": mask}
    if "mask" not in {each.name for each in fields(cast("Any", editor))}:
        blend: Any = getattr(editor, "blend", None)
        change = {"blend": Blend(mask=mask) if blend is None else replace(blend, mask=mask)}
    return cast("Editor", replace(cast("Any", editor), **change))


def _local(value: object) -> object:
    """What a record leaves out of an editor as it is of this machine: its mask, a file by size and time."""
    blend = getattr(value, "blend", None)
    mask = getattr(value if blend is None else blend, "mask", None)
    if isinstance(mask, str | os.PathLike):
        path = os.fspath(cast("os.PathLike[str]", mask))
        return f"{path} {Storage('').stamp(path)}"
    if isinstance(mask, Image.Image):
        return f"{mask.mode} {mask.size} {hashlib.sha256(mask.tobytes()).hexdigest()}"
    return repr(mask)


def _safe(name: str) -> str:
    """A name that stays inside the folder of results.

    Raises:
        ManifestError: It does not.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    parts = [part for part in path.parts if part != "/"]
    bad = path.is_absolute() or not parts or any(part in ("..", ".") or part != part.strip() for part in parts)
    bad = bad or _UNWRITABLE.search(name) is not None
    if bad or max(len(part.encode()) for part in parts) > 200:  # noqa: PLR2004  file systems take 255
        raise ManifestError(
            f"got the name {shown(name)}; expected one that stays in the folder of results. Give another id."
        )
    return "/".join(parts)
