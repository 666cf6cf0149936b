"""Small photographs and a tiny model, of which a whole batch takes a second."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nulltext.batch.plan import Plan
from nulltext.inversion.methods.direct import DirectInversion


@pytest.fixture(scope="session")
def plan(folder: Callable[[], Path]) -> Plan:
    """Two steps of the tiny model."""
    return Plan(inverter=DirectInversion(steps=2), model=str(folder()), loading={}, at_once=4)


@pytest.fixture
def photos(tmp_path: Path) -> Callable[[int], list[Path]]:
    """So many photographs of 40 x 48, each of another colour."""

    def make(count: int) -> list[Path]:
        base = tmp_path / "photos"
        base.mkdir(exist_ok=True)
        for at in range(count):
            pixels = np.full((48, 40, 3), (at * 37 % 256, at * 91 % 256, at * 17 % 256), np.uint8)
            Image.fromarray(pixels).save(base / f"photo-{at:03d}.png")
        return sorted(base.glob("*.png"))

    return make


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., str]:
    """A CSV of rows."""

    def write(rows: Sequence[Mapping[str, Any]], name: str = "rows.csv") -> str:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        return str(tmp_path / name)

    return write
