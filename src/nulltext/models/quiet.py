"""Keeping diffusers and transformers from talking: this package's core is silent."""

from collections.abc import Generator
from contextlib import contextmanager

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Turns off the two libraries' progress bars and warnings, and afterwards restores them as they were.

    What they would say is about the order of internal casts and about image processors that are not used here; what
    goes wrong is raised, not logged.
    """
    libraries = (diffusers_logging, transformers_logging)
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, (verbosity, bars) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()
