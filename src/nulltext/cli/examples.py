"""The examples that stand below the help of every command."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

_CAT: Final = '"a cat sitting next to a mirror"'
_TIGER: Final = '"a tiger sitting next to a mirror"'
EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("nulltext demo", "nulltext web", "nulltext invert --help"),
    "demo": ("nulltext demo", "nulltext demo --images 1 --steps 20 --output first"),
    "invert": (
        f"nulltext invert cat.jpg {_CAT} --model stable-diffusion-v1-5/stable-diffusion-v1-5",
        f"nulltext invert cat.jpg {_CAT} --method null-text --steps 50 -o cat.safetensors",
    ),
    "edit": (
        f"nulltext edit cat.safetensors {_TIGER}",
        f"nulltext edit cat.safetensors {_TIGER} --self 0.5 --blend cat:tiger --maps -o tiger.png",
    ),
    "sweep": (f"nulltext sweep cat.safetensors {_TIGER} --over cross=0,0.4,0.8 --over self=0,0.4,0.8",),
    "show": ("nulltext show cat.safetensors", "nulltext show cat.safetensors --image source.png"),
    "batch": ("nulltext batch photos.csv --check", "nulltext batch photos.csv -o edited --method direct:steps=25"),
    "generate": ('nulltext generate "a photo of a green mug on wood" --seed 3 -o mug.png --save mug.safetensors',),
    "models": ("nulltext models", "nulltext models --costs"),
    "verify": ("nulltext verify", "nulltext verify --model stable-diffusion-v1-5/stable-diffusion-v1-5"),
    "web": ("nulltext web", "nulltext web --host 0.0.0.0 --auth name:password"),
    "train": ("nulltext train my-scenes --hours 1", "nulltext train better --start scenes --device cuda"),
    "bench": ("nulltext bench model --limit 8", "nulltext bench methods --limit 2 --json"),
    "bench pie": ("nulltext bench pie --data PIE-Bench_v1 --model CompVis/stable-diffusion-v1-4",),
}
"""By the words that ask for a command; "" is what stands before them all."""


def epilog(names: Sequence[str], options: Collection[str]) -> str:
    """What stands below a command's help.

    Args:
        names: The words that ask for it.
        options: Those that it takes; a command that has no example of its own shows itself, and is quick if it can be.
    """
    path = " ".join(names)
    own = EXAMPLES.get(path) or (f"nulltext {path}{' --limit 4' if '--limit' in options else ''}",)
    return "\n\n".join([f"Example{'s' if len(own) > 1 else ''}:", *own])
