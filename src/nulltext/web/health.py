"""Whether the server is well, and figures of it for Prometheus."""

from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nulltext import __version__
from nulltext.web.jobs import Jobs
from nulltext.web.workshop import Workshop


class _Figures(Collector):
    """What is looked up when it is asked for."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def collect(self) -> Iterable[Metric]:
        """Each figure."""
        jobs: Jobs = self._workshop.jobs
        states = GaugeMetricFamily("nulltext_jobs", "Jobs in memory, by state.", labels=["state"])
        for state, count in jobs.states.items():
            states.add_metric([state], count)
        yield states
        given, made = jobs.size
        held = GaugeMetricFamily("nulltext_job_bytes", "Memory that jobs hold.", labels=["part"])
        held.add_metric(["inputs"], given)
        held.add_metric(["results"], made)
        yield held
        loaded = GaugeMetricFamily("nulltext_model_loaded", "Whether a model is in memory.", labels=["model"])
        for name in self._workshop.models:
            loaded.add_metric([name], float(name in self._workshop.loaded))
        yield loaded


def router(workshop: Workshop) -> APIRouter:
    """The routes."""
    about = APIRouter(tags=["server"])
    registry = CollectorRegistry()
    registry.register(_Figures(workshop))

    @about.get("/health", summary="Whether the server is well")
    def health() -> dict[str, str]:
        """It is, if it answers."""
        return {"status": "ok", "version": __version__}

    @about.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    def metrics() -> Response:
        """The queue, memory and models."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return about
