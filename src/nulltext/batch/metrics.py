"""Counts of a batch for Prometheus."""

from nulltext.batch.tally import Tally, memory_mb
from nulltext.errors import SettingError


class Metrics:
    """An address at which Prometheus reads the counts, as long as the process lives."""

    def __init__(self, port: int) -> None:
        """Opens it on this machine's own interface.

        Raises:
            SettingError: The port is taken, or prometheus-client is not installed.
        """
        try:
            from prometheus_client import CollectorRegistry, Gauge, start_http_server  # noqa: PLC0415  an extra
        except ImportError as error:
            raise SettingError(
                "a port for metrics needs prometheus-client. Install it with: pip install 'nulltext[batch]'"
            ) from error
        registry = CollectorRegistry()

        def gauge(name: str, about: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"nulltext_batch_{name}", about, labels, registry=registry)

        self.edits = gauge("edits", "Edits by what became of them", ("status",))
        self.rate = gauge("edits_per_second", "Edits done or failed a second, since the run began")
        self.devices = gauge("device_edits", "Edits done by a device", ("device",))
        self.left = gauge("seconds_left", "Seconds that the rest will take")
        self.memory = gauge("memory_megabytes", "Memory of the driver")
        try:
            self.server, self.thread = start_http_server(port, "127.0.0.1", registry)
        except OSError as error:
            raise SettingError(f"got the metrics port {port}, which is taken. Choose another.") from error

    def tell(self, tally: Tally) -> None:
        """Takes the counts."""
        for status in ("done", "failed", "skipped", "total"):
            self.edits.labels(status).set(getattr(tally, status))
        self.rate.set(tally.rate)
        self.left.set(tally.left or 0)
        self.memory.set(memory_mb())
        for device, count in tally.devices.items():
            self.devices.labels(device).set(count)

    def close(self) -> None:
        """Closes the address."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
