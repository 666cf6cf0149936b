"""The model that an inversion file asks for."""

from typing import TYPE_CHECKING

from nulltext.errors import ModelNotFoundError

if TYPE_CHECKING:
    from nulltext import Model, ModelIdentity

EMBEDDED = "scenes"


def load_for(
    identity: "ModelIdentity",
    name: str | None,
    *,
    config: str | None,
    device: str | None,
    dtype: str | None,
    low_memory: bool = False,
) -> "Model":
    """Loads the model that an inversion was made with.

    Args:
        identity: What the file says of it.
        name: What the user says; None to go by the file.
        config: See `nulltext.load`, as are those that follow.
        device: Where to compute.
        dtype: The denoiser's precision.
        low_memory: Slower, in less memory.

    Raises:
        ModelNotFoundError: The file was made with a folder or a checkpoint file, and says not where that is.
    """
    from nulltext import load
    from nulltext.cli import terminal

    revision = None
    if name is None:
        by_digest = identity.revision.startswith("sha256:")
        if by_digest and identity.id != EMBEDDED:
            raise ModelNotFoundError(
                f"this inversion was made with a folder or file named {identity.id!r}, which may be anywhere. "
                "Say where it is with --model, and give --config again if it was given then."
            )
        name, revision = identity.id, None if by_digest else identity.revision
    with terminal.loading(name):
        return load(name, config=config, device=device, dtype=dtype, revision=revision, low_memory=low_memory)
