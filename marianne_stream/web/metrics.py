"""Metrics for Prometheus."""

import asyncio
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from marianne_stream.feeds.log_feeds import LogFeedProvider
from marianne_stream.jobs.hub import JobHub
from marianne_stream.version import VERSION
from marianne_stream.web.limits import DownloadLimiter
from marianne_stream.web.sse_response import CLOSE_REASONS
from marianne_stream.web.stream_registry import StreamRegistry
from marianne_stream.wire.metric_families import (
    METRIC_PREFIX,
    make_counter,
    make_gauge,
    make_labelled_counter,
    make_labelled_gauge,
)

STATE_SOURCES = ("conductor", "registry", "json", "redis", "none")

LAG_INTERVAL_S = 0.5
LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    """Metrics of one server."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(namespace=METRIC_PREFIX, registry=self.registry)
        for collector in collectors:
            self.registry.register(collector)
        self._requests = Counter(
            f"{METRIC_PREFIX}_http_requests",
            "Responses. A stream counts when it begins.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            f"{METRIC_PREFIX}_http_request_duration_seconds",
            "Duration of a request; of a stream, the time until it began.",
            ("route",),
            registry=self.registry,
        )
        self.rejected_connections = Counter(
            f"{METRIC_PREFIX}_connections_rejected",
            "Connections that were closed at once because of a connection limit.",
            registry=self.registry,
        )
        self._lag = Histogram(
            f"{METRIC_PREFIX}_event_loop_lag_seconds",
            "Event-loop lag: delay of a timer beyond its due time, in seconds.",
            buckets=LAG_BUCKETS_S,
            registry=self.registry,
        )

    def observe_response(self, *, route: str, method: str, status: int, duration_s: float) -> None:
        """Count a response. The duration of a stream is the time until it began.

        The route is the path as the router has it, "" if there is none.
        """
        self._requests.labels(route, method, status).inc()
        self._durations.labels(route).observe(duration_s)

    async def run_lag_probe(self) -> None:
        """Measure the event-loop lag until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self._lag.observe(max(0.0, loop.time() - due))

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


@dataclass(frozen=True, eq=False)
class ServerCollector(Collector):
    """Metrics of streams, jobs, logs and downloads."""

    stream_registry: StreamRegistry
    job_hub: JobHub
    log_feeds: LogFeedProvider
    download_limiter: DownloadLimiter

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, as they are now."""
        yield from self._collect_streams()
        yield from self._collect_jobs()
        yield make_gauge("log_followers", "Logs that are followed.", len(self.log_feeds))
        yield make_counter(
            "log_read_bytes", "Bytes of logs that followers have read.", self.log_feeds.read_bytes
        )
        yield make_gauge(
            "open_downloads", "Logs that are being sent as files.", len(self.download_limiter)
        )
        info = GaugeMetricFamily(f"{METRIC_PREFIX}_build_info", "1.", labels=["version", "python"])
        info.add_metric([VERSION, platform.python_version()], 1)
        yield info

    def _collect_jobs(self) -> Iterator[Metric]:
        hub, events = self.job_hub, self.job_hub.events
        yield make_gauge("watched_jobs", "Watched jobs.", hub.watched_job_count)
        yield make_gauge(
            "monitor_connected", "1 while events of the conductor arrive.", int(events.is_live)
        )
        yield make_counter(
            "monitor_events", "Events of the conductor.", events.replay_buffer.last_number
        )
        yield make_counter(
            "monitor_connects",
            "Number of times that events began to arrive.",
            events.subscription_count,
        )
        yield make_labelled_gauge(
            "state_source",
            "1 for the backend that state was last read from.",
            "source",
            {name: int(name == hub.roster.source) for name in STATE_SOURCES},
        )

    def _collect_streams(self) -> Iterator[Metric]:
        streams = self.stream_registry.statistics()
        yield make_labelled_gauge("streams_open", "Open streams.", "kind", streams.open_by_kind)
        yield make_gauge(
            "slow_consumers",
            "Open streams that hold data that the client has not taken.",
            streams.slow_consumers,
        )
        yield make_counter(
            "stream_events_sent", "Frames sent on streams, comments included.", streams.sent_frames
        )
        yield make_counter(
            "stream_bytes_sent", "Bytes sent on streams, without headers.", streams.sent_bytes
        )
        yield make_counter(
            "slow_consumer_gaps",
            "Gaps sent to slow consumers.",
            self.job_hub.events.replay_buffer.slow_consumer_gaps,
        )
        closed: dict[str, int] = {reason: streams.closed[reason] for reason in CLOSE_REASONS}
        yield make_labelled_counter(
            "streams_closed", "Closed streams, by reason.", "reason", closed
        )
