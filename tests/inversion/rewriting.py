"""Inversion files that hold something else, under a digest that fits."""

import json
from types import SimpleNamespace

from safetensors import safe_open
from safetensors.torch import load_file, save

from nulltext.inversion.file import digest

PROMPT = "a red ball on grass, “naïve”"


class Raw(str):
    """What stands in a record as it is, JSON or not."""

    __slots__ = ()


def rewrite(path, change, header=lambda text: text):
    """Changes what a file holds, and writes a digest that fits.

    Args:
        path: The file.
        change: Given its tensors `t` and its record `r`, both to be changed in place.
        header: What becomes of the file's header.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    plain = {name: metadata.pop(name) for name in ("format", "format_version")}
    del metadata["digest"]
    record = plain | {name: json.loads(value) for name, value in metadata.items()}
    change(SimpleNamespace(t=tensors, r=record))
    kept = {
        name: value if name in plain or isinstance(value, Raw) else json.dumps(value) for name, value in record.items()
    }
    data = save(tensors, kept | {"digest": digest(tensors, kept)})
    length = int.from_bytes(data[:8], "little")
    text = header(data[8 : 8 + length].decode()).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def as_of(version, f):
    """What a file of an earlier version would hold, of one of this."""
    f.r["format_version"] = version
    f.r["caption"], f.r["held"] = f.r.pop("prompt"), f.r.pop("replay")["corrected"] == "source"
    for now, before in {"replay.nulls": "nulls", "image": "picture"}.items():
        f.t[before] = f.t.pop(now)
    return f
