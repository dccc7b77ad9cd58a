"""What a server counts, in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_LATENCY_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)
_BATCH_WINDOWS = (1, 2, 4, 8, 16)


class Metrics:
    """Counters of one server; a second server in the process has its own."""

    def __init__(self, waiting: Callable[[], int], running: Callable[[], int]):
        """`waiting` and `running` tell how many requests wait for a core and how many compute."""
        self._registry = CollectorRegistry()
        registry = {"registry": self._registry}
        self.requests = Counter("evc_requests", "Requests answered.", ["route", "status"], **registry)
        self.latency_s = Histogram(
            "evc_request_seconds", "From arrival to answer.", ["route"], buckets=_LATENCY_S, **registry
        )
        self.batch_windows = Histogram(
            "evc_batch_windows", "Windows that shared a device call.", buckets=_BATCH_WINDOWS, **registry
        )
        self.audio_s = Counter("evc_audio_seconds", "Sound received and sent.", ["direction"], **registry)
        Gauge("evc_queue_depth", "Accepted requests that wait.", **registry).set_function(waiting)
        Gauge("evc_requests_running", "Requests that compute.", **registry).set_function(running)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)
