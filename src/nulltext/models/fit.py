"""Whether what is added to a checkpoint was made for its family."""

from nulltext.errors import UnsupportedPipelineError


def check_width(what: str, got: int, expected: int, model: str) -> None:
    """Makes sure that something added has the width that a checkpoint needs.

    Raises:
        UnsupportedPipelineError: It does not.
    """
    if got != expected:
        raise UnsupportedPipelineError(
            f"{what} {got}; expected {expected}, as {model} has it. It was made for another family of checkpoints: "
            "choose one for this."
        )
