"""Where the embedded checkpoint and what ships beside it lie."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "scenes"
CLIP: Final = FOLDER / "clip"
JUDGES: Final = FOLDER / "judges.safetensors"


def words() -> frozenset[str]:
    """The words that the embedded model was taught, without loading it."""
    return frozenset((FOLDER / "words.txt").read_text(encoding="utf-8").lower().split())
