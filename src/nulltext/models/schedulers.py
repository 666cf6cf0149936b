"""The configs of noise schedulers: read from a folder, and as what can be walked both ways."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import diffusers

from nulltext.diffusion.flow import FLOW_SCHEDULER, FlowConfig
from nulltext.diffusion.schedule import ScheduleConfig
from nulltext.errors import NulltextError, UnsupportedPipelineError, UnsupportedScheduleError, shown
from nulltext.models.configs import check_sizes, check_types, read_config
from nulltext.models.networks import first_line
from nulltext.models.quiet import quiet

FILE: Final = "scheduler_config.json"
SCHEDULER: Final = f"scheduler/{FILE}"
_LEVELS: Final = "a DDIM (DDIM, PNDM, Euler, DPM-Solver, ...)"


def read_scheduler(folder: Path) -> dict[str, Any]:
    """The config of any scheduler, from its folder.

    Raises:
        ModelLoadError: It is damaged, or a number in it is out of range.
    """
    config = read_config(folder / FILE)
    check_sizes(config, folder / FILE)
    return config


def read_unclip_scheduler(folder: Path) -> Mapping[str, Any]:
    """The config of an ``UnCLIPScheduler``, from its folder.

    Raises:
        UnsupportedPipelineError: It is another's.
        ModelLoadError: It is damaged, or a value has another type.
    """
    config, path = read_scheduler(folder), folder / FILE
    if config.get("_class_name") != diffusers.UnCLIPScheduler.__name__:
        raise UnsupportedPipelineError(
            f"{path} is of a {shown(config.get('_class_name'))}; expected an UnCLIPScheduler. Put in its place the one "
            "that the checkpoint came with."
        )
    plain = {name: value for name, value in config.items() if not name.startswith("_")}
    check_types(plain, diffusers.UnCLIPScheduler, path)
    return plain


def ddim_schedule(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A full ``DDIMScheduler`` config of any scheduler's, whose levels DDIM can walk both ways; see `ddim_config`.

    Raises:
        UnsupportedScheduleError: It describes none.
        ModelLoadError: A value has the wrong type.
    """
    scheduler = ddim_config(config, where)
    ScheduleConfig.read(scheduler)
    return scheduler


def ddim_config(config: Mapping[str, Any], where: object) -> Mapping[str, Any]:
    """The config that ``DDIMScheduler.from_config`` makes of any scheduler's; of its class the name alone is looked at.

    Args:
        config: The content of a ``scheduler_config.json``, or a scheduler's ``config``.
        where: What to call it in errors.

    Raises:
        UnsupportedScheduleError: It describes no schedule that DDIM can walk both ways.
        ModelLoadError: A value has the wrong type.
    """
    name = str(config.get("_class_name", "DDIMScheduler"))
    known: Any = getattr(diffusers, name, None) if name.isidentifier() else None
    takes = inspect.signature(known.__init__).parameters if isinstance(known, type) else ()
    if "beta_schedule" not in config and "beta_schedule" not in takes:
        raise UnsupportedScheduleError(
            f"the checkpoint's scheduler is {name}, whose config has no beta schedule; expected one that describes "
            f"{_LEVELS}. Use a Stable Diffusion 1.x or 2.x checkpoint."
        )
    plain = {key: value for key, value in config.items() if key != "_class_name"}
    check_sizes(plain, Path(str(where)))
    check_types(plain, diffusers.DDIMScheduler, Path(str(where)))
    ScheduleConfig.known(plain).check_numbers(str(where))
    try:
        with quiet():
            read = dict(diffusers.DDIMScheduler.from_config(plain).config)
    except NulltextError:
        raise
    except Exception as error:  # from torch, of numbers that make no schedule
        raise UnsupportedScheduleError(
            f"{where}, the config of a {name}, describes no DDIM: {first_line(error)}; expected {_LEVELS}. Correct it, "
            "or use a Stable Diffusion 1.x or 2.x checkpoint."
        ) from error
    ScheduleConfig.known(read).check_depth(str(where))
    return read


def flow_config(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The config of a flow's scheduler.

    Raises:
        UnsupportedScheduleError: It is of another, or of levels that are not supported.
        ModelLoadError: A value has the wrong type.
    """
    if config.get("_class_name") != FLOW_SCHEDULER:
        raise UnsupportedScheduleError(
            f"{where} is of a {config.get('_class_name')}; expected a {FLOW_SCHEDULER}, whose levels the model was "
            "trained at. Put in its place the one that the checkpoint came with."
        )
    check_types(
        {key: value for key, value in config.items() if key != "_class_name"},
        diffusers.FlowMatchEulerDiscreteScheduler,
        Path(where),
    )
    FlowConfig.read(config, where)
    return config
