"""Who may put one more job into the queue, so that nobody takes all places and all memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

from nulltext.errors import TooManyJobsError
from nulltext.web.clients import Client
from nulltext.web.limits import Limits


class Asking(Protocol):
    """What counts of a job."""

    @property
    def person(self) -> str:
        """Whose it is."""
        ...

    @property
    def client(self) -> Client:
        """Where it was asked for."""
        ...

    @property
    def size(self) -> int:
        """Bytes of what it holds."""
        ...

    @property
    def over(self) -> bool:
        """Whether it is done, failed or cancelled."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Asked:
    """A job that is still to be made, and holds nothing yet."""

    person: str
    client: Client
    size: int = 0
    over: bool = False


def check_queue(limits: Limits, job: Asking, waiting: Sequence[Asking], running: Asking | None) -> None:
    """Refuses a job for which there is no place.

    Args:
        limits: How many places there are.
        job: The job.
        waiting: Those that wait.
        running: The one under way, which may be over for who asked, while what it does goes on; None if there is none.

    Raises:
        TooManyJobsError: There is none.
    """
    alive = [*waiting, *([] if running is None or running.over else [running])]
    occupying: list[Asking] = [*waiting, *([] if running is None else [running])]
    address = job.client.address
    own = sum(other.person == job.person for other in alive)
    near = sum(other.client.address == address for other in alive)
    if len(waiting) >= limits.waiting:
        raise TooManyJobsError(
            f"{len(waiting)} jobs are waiting; expected fewer than {limits.waiting}. Try again in a while."
        )
    if own >= limits.jobs:
        raise TooManyJobsError(
            f"{own} of your jobs are waiting or under way; expected fewer than {limits.jobs}. Wait for one of them, or "
            "cancel it."
        )
    if near >= limits.queue:
        raise TooManyJobsError(
            f"{near} jobs from your network address are waiting or under way; expected fewer than {limits.queue}, "
            "which all behind that address share. Wait for one of them."
        )
    for who, most, others in (
        (
            "your network address",
            limits.share * limits.part_bytes,
            [o for o in occupying if o.client.address == address],
        ),
        ("everybody", limits.part_bytes, occupying),
    ):
        items = job.size + sum(other.size for other in others)
        if items > most:
            raise TooManyJobsError(
                f"the images of {who} that wait would take {items / 2**20:.1f} MB with this one; expected at most "
                f"{most / 2**20:g} MB. Wait for some of the jobs, or send a smaller file."
            )
