"""What the server does, in figures for Prometheus.

Figures that the parts keep anyway are read when they are asked for. It must not know how they come
about.
"""

import asyncio
import platform
from collections.abc import Iterable, Iterator

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from marianne_stream.feeds.feed import FEED_KINDS
from marianne_stream.feeds.log_feeds import LogFeedProvider
from marianne_stream.jobs.hub import JobHub
from marianne_stream.version import VERSION
from marianne_stream.web.download_limiter import DownloadLimiter
from marianne_stream.web.responses import NO_STORE
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
    """All figures of one server.

    Args:
        stream_registry: what is open.
        job_hub: what is watched.
        log_feeds: what is followed.
        download_limiter: what is being sent as files.
        extra_collectors: figures that are told, too.
    """

    def __init__(
        self,
        stream_registry: StreamRegistry,
        job_hub: JobHub,
        log_feeds: LogFeedProvider,
        download_limiter: DownloadLimiter,
        *,
        extra_collectors: Iterable[Collector] = (),
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(namespace=METRIC_PREFIX, registry=self.registry)
        for figures in (
            ServerCollector(stream_registry, job_hub, log_feeds, download_limiter),
            *extra_collectors,
        ):
            self.registry.register(figures)
        self._requests = Counter(
            f"{METRIC_PREFIX}_http_requests",
            "Requests that were answered; a stream counts when it has begun.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            f"{METRIC_PREFIX}_http_request_duration_seconds",
            "How long answers took; of a stream, until it began.",
            ("route",),
            registry=self.registry,
        )
        self._rejected = Counter(
            f"{METRIC_PREFIX}_connections_rejected",
            "Connections that were closed at once, since there were as many as there may be.",
            registry=self.registry,
        )
        # Those of each combination, which are as many as the routes have answers.
        self._label_cache: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._lag = Histogram(
            f"{METRIC_PREFIX}_event_loop_lag_seconds",
            "How much later than it asked to be a task was woken.",
            buckets=LAG_BUCKETS_S,
            registry=self.registry,
        )

    def observe_response(self, *, route: str, method: str, status: int, duration_s: float) -> None:
        """Counts an answer.

        Args:
            route: the address as the router has it, "" where there is none.
            method: the method; any that HTTP does not name counts as OTHER.
            status: the answer's.
            duration_s: how long it took.
        """
        key = (route, method, status)
        known = self._label_cache.get(key)
        if known is None:
            known = self._requests.labels(*key), self._durations.labels(route)
            self._label_cache[key] = known
        known[0].inc()
        known[1].observe(duration_s)

    def count_rejected_connection(self) -> None:
        """Counts a connection that was closed at once."""
        self._rejected.inc()

    async def run_lag_probe(self) -> None:
        """Measures how late the loop is, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self._lag.observe(max(0.0, loop.time() - due))

    async def render_response(self, _request: web.Request) -> web.Response:
        """`GET /metrics`: all figures, in the text format of Prometheus."""
        headers = {**NO_STORE, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        return web.Response(body=generate_latest(self.registry), headers=headers)


class ServerCollector(Collector):
    """The figures that the parts keep."""

    def __init__(
        self,
        stream_registry: StreamRegistry,
        job_hub: JobHub,
        log_feeds: LogFeedProvider,
        download_limiter: DownloadLimiter,
    ) -> None:
        self._stream_registry = stream_registry
        self._job_hub = job_hub
        self._log_feeds = log_feeds
        self._download_limiter = download_limiter

    def collect(self) -> Iterator[Metric]:
        """All of them, as they are now."""
        yield from self._collect_streams()
        watches = self._job_hub
        yield make_gauge("watched_jobs", "Jobs that are watched.", watches.watched_job_count)
        connected = "Whether events of the conductor come in."
        yield make_gauge("monitor_connected", connected, int(watches.events.is_live))
        yield make_counter(
            "monitor_events", "Events of the conductor.", watches.events.replay_buffer.last_number
        )
        times = "How often the conductor's events began to come in."
        yield make_counter("monitor_connects", times, watches.events.subscription_count)
        source = {name: int(name == watches.roster.source) for name in STATE_SOURCES}
        what = "Where state came from last: 1 for one of them."
        yield make_labelled_gauge("state_source", what, "source", source)
        yield make_gauge("log_followers", "Logs that are followed.", len(self._log_feeds))
        yield make_counter(
            "log_read_bytes", "Bytes of logs that followers have read.", self._log_feeds.read_bytes
        )
        yield make_gauge(
            "open_downloads", "Logs that are being sent as files.", len(self._download_limiter)
        )
        info = GaugeMetricFamily(f"{METRIC_PREFIX}_build_info", "1.", labels=["version", "python"])
        info.add_metric([VERSION, platform.python_version()], 1)
        yield info

    def _collect_streams(self) -> Iterator[Metric]:
        streams = self._stream_registry
        counts: dict[str, int] = dict.fromkeys(FEED_KINDS, 0)
        slow = 0
        frames, sent = streams.sent_frames, streams.sent_bytes
        for stream in streams:
            counts[stream.feed.kind] += 1
            slow += stream.buffered_bytes > 0
            frames += stream.sent_frames
            sent += stream.written_bytes
        yield make_labelled_gauge("streams_open", "Open streams.", "kind", counts)
        yield make_gauge("slow_consumers", "Streams whose client has not taken all yet.", slow)
        yield make_counter("stream_events_sent", "Frames of streams.", frames)
        yield make_counter("stream_bytes_sent", "Bytes of streams, headers aside.", sent)
        gaps = "Gaps that slow readers were told of."
        yield make_counter(
            "slow_consumer_gaps", gaps, self._job_hub.events.replay_buffer.slow_consumer_gaps
        )
        ended: dict[str, int] = {reason: streams.closed[reason] for reason in CLOSE_REASONS}
        what = "Streams that have ended, by reason."
        yield make_labelled_counter("streams_closed", what, "reason", ended)
