"""What a server counts, in Prometheus's text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from evc_jax.serving.admission import Admission

_LATENCY_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)
_BATCH_WINDOWS = (1, 2, 4, 8, 16)


class Metrics:
    """Counters of one server; a second server in the process has its own."""

    def __init__(self, admission: Admission):
        """`admission` gives the numbers of requests that wait and that compute."""
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("evc_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._latency_s = Histogram(
            "evc_request_seconds", "From arrival to answer.", ["route"], buckets=_LATENCY_S, registry=registry
        )
        self.batch_windows = Histogram(
            "evc_batch_windows", "Windows that shared a device call.", buckets=_BATCH_WINDOWS, registry=registry
        )
        self.audio_s = Counter("evc_audio_seconds", "Sound received and sent.", ["direction"], registry=registry)
        depth = Gauge("evc_queue_depth", "Accepted requests that wait.", registry=registry)
        depth.set_function(lambda: admission.admitted - admission.running)
        running = Gauge("evc_requests_running", "Requests that compute.", registry=registry)
        running.set_function(lambda: admission.running)

    def count(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; unknown paths share one route, so that there are few."""
        self._requests.labels(route, str(status)).inc()
        self._latency_s.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)
