"""A grid of methods over cases: a row for every image, kept as it is made, so that a killed run goes on."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import final

from nulltext.bench.attempts import Failed, attempt
from nulltext.bench.candidate import Candidate, Measure
from nulltext.bench.case import Case, Entry, checked
from nulltext.bench.extras import extra
from nulltext.bench.kept import MEASURED, ROWS, SAMPLES, Row, has_samples, read_kept
from nulltext.bench.keys import about_run, instruments, key_of
from nulltext.bench.rows import failed_row
from nulltext.bench.trial import Task, try_image
from nulltext.bench.workers import each
from nulltext.errors import CaseError, OutputWriteError
from nulltext.files import write_file
from nulltext.models.base import Model
from nulltext.progress import OnProgress, silent


def run(
    model: Model,
    entries: Sequence[Entry],
    candidates: Sequence[Candidate],
    measures: Mapping[str, Measure],
    folder: Path,
    *,
    samples: int = 8,
    workers: int = 1,
    at_once: int = 1,
    edits_at_once: int = 1,
    on_progress: OnProgress = silent,
) -> list[Row]:
    """Tries every candidate on every case, and measures.

    All entries are checked before the first is inverted. One that cannot be measured, or fails on the way, has rows
    whose ``status`` says so and whose ``reason`` says why, and the others go on.

    A candidate's rows of an image are written as soon as its edits are made, under a key made of everything that they
    depend on. The same run in the same folder goes on where it was, and tries again what failed; another one, with more
    cases or candidates, keeps what they share. At the end ``rows.parquet`` has the rows of this run, in the order of
    entries and candidates.

    Args:
        model: The model.
        entries: What is tried; neighbours that share image and prompt are inverted once.
        candidates: The methods.
        measures: The figures, by the name of their column.
        folder: Where rows and images are kept; made if need be.
        samples: Of how many cases the images are kept, to look at.
        workers: How many images at a time; more than one needs a model on the CPU.
        at_once: How many inversions and reconstructions of an image share the network's batch. With more than one, the
            seconds of each are its share by evaluations.
        edits_at_once: How many edits of an image, of all methods, share a batch, and so the seconds. If 1, only those
            that one method makes alike do.
        on_progress: Called for every image.

    Raises:
        CaseError: Nothing could be measured; says why for the first.
        SettingError: A library that writes or measures is not installed.
        OutputWriteError: The folder cannot be written to.
    """
    extra("pyarrow.parquet")  # early: hours of work end with it
    _make_folders(folder)
    entries = checked(model, entries)
    cases = [entry for entry in entries if isinstance(entry, Case)]
    shown = frozenset(case.name for case in cases[:samples])
    plans = planned(model, cases, candidates, measures, folder, shown=shown)
    todo = [plan for plan in plans if plan.missing]
    bound = {"at_once": at_once, "edits_at_once": edits_at_once}
    measure = partial(try_image, measures=measures, folder=folder / SAMPLES, shown=shown, **bound)
    made = each(model, [(plan.group, plan.missing) for plan in todo], measure, workers=workers, on_progress=on_progress)
    done = dict(zip(map(id, todo), made, strict=True))
    found: dict[tuple[int, str], Row] = {}
    for plan in plans:
        found |= plan.rows(model, measures, done.get(id(plan), []))
    rows = _in_order(model, entries, candidates, measures, found)
    write_parquet(rows, folder / "rows.parquet")
    _check_any_measured(rows, len(entries))
    return rows


def _check_any_measured(rows: Sequence[Row], entries: int) -> None:
    if not any(row["status"] == MEASURED for row in rows):
        first = rows[0]["reason"] if rows else "there is none."
        raise CaseError(f"none of the {entries} entries could be measured. The first: {first}")


def _make_folders(folder: Path) -> None:
    for part in (ROWS, SAMPLES):
        try:
            (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputWriteError(f"cannot make {folder / part}: {error.strerror}. Choose another folder.") from error


def _in_order(
    model: Model,
    entries: Sequence[Entry],
    candidates: Sequence[Candidate],
    measures: Mapping[str, Measure],
    found: Mapping[tuple[int, str], Row],
) -> list[Row]:
    """A row for every entry and candidate: that which was found, or why there can be none."""
    return [
        found[id(entry), candidate.name]
        if isinstance(entry, Case)
        else failed_row(model, entry, candidate, str(entry.error), measures)
        for entry in entries
        for candidate in candidates
    ]


def planned(
    model: Model,
    cases: Sequence[Case],
    candidates: Sequence[Candidate],
    measures: Mapping[str, Measure],
    folder: Path,
    *,
    shown: frozenset[str],
) -> "list[Plan]":
    """For every image what of it is kept, and what is to be made; `shown` are the cases with images to look at."""
    about = about_run(model, measures)
    groups = [list(group) for _, group in groupby(cases, key=_image)]
    return [Plan.of(group, candidates, about, folder, shown) for group in groups]


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is kept of an image, and what is to be made.

    Attributes:
        group: Its cases.
        kept: The rows that are kept, by the candidate's name.
        failed: Why there can be none, likewise.
        missing: What is to be made.
    """

    group: Sequence[Case]
    kept: Mapping[str, Sequence[Row]]
    failed: Mapping[Candidate, Failed]
    missing: Sequence[Task]

    @classmethod
    def of(
        cls,
        group: Sequence[Case],
        candidates: Sequence[Candidate],
        about: Mapping[str, object],
        folder: Path,
        shown: frozenset[str],
    ) -> "Plan":
        """What is kept of one image's rows, whole and their own; see `planned`."""
        kept: dict[str, Sequence[Row]] = {}
        failed: dict[Candidate, Failed] = {}
        missing: list[Task] = []
        for candidate in candidates:
            key = attempt(partial(key_of, group, candidate, about))
            if isinstance(key, Failed):
                failed[candidate] = key
                continue
            path = folder / ROWS / f"{group[0].name}-{key[:16]}.json"
            rows = read_kept(path, key)
            if rows is None or not all(row["case"] not in shown or has_samples(folder / SAMPLES, row) for row in rows):
                missing.append(Task(candidate=candidate, key=key, path=path))
            else:
                kept[candidate.name] = rows
        return cls(group=group, kept=kept, failed=failed, missing=missing)

    def rows(
        self, model: Model, measures: Mapping[str, Measure], made: Sequence[Sequence[Row]]
    ) -> dict[tuple[int, str], Row]:
        """The rows by the case's identity and the candidate's name, given those of what was missing."""
        asked = ", ".join(instruments(measures))
        found = dict(self.kept) | {task.candidate.name: rows for task, rows in zip(self.missing, made, strict=True)}
        for candidate, why in self.failed.items():
            found[candidate.name] = [failed_row(model, case, candidate, why.reason, measures) for case in self.group]
        return {
            # Neither is in the key, and a set or a network that was moved is the same.
            (id(case), name): row | {"where": case.where, "instruments": asked}
            for name, rows in found.items()
            for case, row in zip(self.group, rows, strict=True)
        }


def _image(case: Case) -> tuple[Path | int, str]:
    """What cases that are inverted together share: the image, one object or one file, and its prompt."""
    return case.image if isinstance(case.image, Path) else id(case.image), case.source


def write_parquet(rows: Sequence[Row], path: Path) -> Path:
    """Writes rows, one column for every key.

    Raises:
        SettingError: pyarrow is not installed.
        OutputWriteError: The system refused.
    """
    table, data = extra("pyarrow").Table.from_pylist(list(rows)), io.BytesIO()
    extra("pyarrow.parquet").write_table(table, data)
    return write_file(path, data.getvalue(), overwrite=True)
