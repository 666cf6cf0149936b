"""Records: a row of the table of results for every edit."""

import json
import math
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import torch

from nulltext import __version__
from nulltext.batch.arrow import arrow
from nulltext.batch.plan import Job, Plan
from nulltext.batch.row import Row
from nulltext.editing.base import Editor
from nulltext.spelling.records import record as settings_record

DONE, FAILED = "done", "failed"
Record = dict[str, Any]
"""Of one edit, by the columns of `COLUMNS`."""
COLUMNS: Final = {
    "key": "string", "id": "string", "row": "int64", "edit": "int32", "status": "string",
    "image": "string", "prompt": "string", "edit_prompt": "string", "mask": "string",
    "output": "string", "bytes": "int64", "inversion": "string",
    "method": "string", "editor": "string", "settings": "string",
    "seed": "int64", "guidance": "float64", "height": "int32", "width": "int32",
    "psnr": "float64", "autoencoder_psnr": "float64", "evaluations": "float64", "seconds": "float64",
    "image_sha256": "string", "output_sha256": "string", "model": "string", "device": "string",
    "nulltext": "string", "torch": "string", "finished": "float64",
    "error": "string", "reason": "string", "trace": "string",
}  # fmt: skip
"""Names and types of the columns of the table."""
ABOUT: Final = {
    "key": "digest of all that the image depends on",
    "row": "of the manifest, from 1",
    "edit": "which of the row's edits, from 1",
    "output": "the edited image, by its name in the folder of results",
    "bytes": "of the edited image's file",
    "inversion": "likewise",
    "settings": "of method and editor, JSON",
    "psnr": "of the reconstruction at its own guidance, dB",
    "autoencoder_psnr": "through the autoencoder and back, the bound, dB",
    "evaluations": "of the network, a backward pass counting as one; a row's share for each of its edits",
    "seconds": "likewise; in a shared batch",
    "finished": "seconds since 1970, UTC",
}


def record_of(row: Row, job: Job | None, plan: Plan, identity: str, device: str) -> list[Record]:
    """The records of a row, one for each edit that is to be made, before anything is known of what becomes of them."""
    editor: Editor = plan.editor if job is None else job.editor
    inverter = plan.inverter if job is None else job.inverter
    both = {"method": settings_record(inverter), "editor": settings_record(editor)}
    seed = next((one["seed"] for one in both.values() if "seed" in one), None)
    common: Record = {
        "id": row.id, "row": row.number, "image": row.image, "prompt": row.prompt, "mask": row.mask,
        "method": type(inverter).__name__, "editor": type(editor).__name__,
        "settings": json.dumps(both, sort_keys=True), "seed": seed, "model": identity, "device": device,
        "nulltext": __version__, "torch": torch.__version__,
    }  # fmt: skip
    keys = row.keys or plan.keys(row, identity)
    return [
        {**dict.fromkeys(COLUMNS), **common, "key": key, "edit": at + 1, "edit_prompt": prompt}
        for at, (key, prompt) in enumerate(zip(keys, row.edits or ("",), strict=True))
        if at in row.todo
    ]


@cache
def schema() -> Any:  # noqa: ANN401  pyarrow says no type
    """The schema of the table."""
    return arrow.schema(
        [arrow.field(name, kind, metadata={"about": ABOUT.get(name, name)}) for name, kind in COLUMNS.items()]
    )


def table(records: Iterable[Record]) -> Any:  # noqa: ANN401  as above
    """Records as a table of pyarrow; text that is none is written with question marks."""
    rows = [{name: _plain(record.get(name)) for name in COLUMNS} for record in records]
    return arrow.Table.from_pylist(rows, schema=schema())


def _plain(value: Any) -> Any:  # noqa: ANN401  a cell
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return None if isinstance(value, float) and math.isnan(value) else value
