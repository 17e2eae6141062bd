"""What relay and edge do, in figures for Prometheus.

It must not know how they come about.
"""

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from marianne_stream.relay.edge.edge import Edge
from marianne_stream.relay.publish.publisher import Publisher
from marianne_stream.wire.metric_families import (
    make_counter,
    make_gauge,
    make_labelled_counter,
    make_labelled_gauge,
)


class RelayCollector(Collector):
    """The figures of one who publishes."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def collect(self) -> Iterator[Metric]:
        """All of them, as they are now."""
        relay, written = self._publisher, self._publisher.write_stats
        publishing = "Whether the server publishes: Redis answers, and no other relay has the lock."
        yield make_gauge("relay_publishing", publishing, int(relay.is_publishing))
        yield make_counter("relay_starts", "How often it began to publish.", relay.start_count)
        yield make_gauge(
            "relay_published_logs", "Logs that are being published.", relay.published_log_count
        )
        yield make_counter("relay_batches", "Batches that Redis has taken.", written.batch_count)
        yield make_counter("relay_commands", "Commands in them.", written.command_count)
        repeats = "Entries of them that Redis had before, and refused."
        yield make_counter("relay_duplicate_entries", repeats, written.duplicate_count)
        seconds = "How long Redis took for the batches, all together."
        yield make_counter("relay_write_seconds", seconds, written.write_s)


class EdgeCollector(Collector):
    """The figures of an edge, by source."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def collect(self) -> Iterator[Metric]:
        """All of them, as they are now."""
        sources = self._edge.sources.values()
        connected = {source.name: float(source.reader.is_connected) for source in sources}
        yield make_labelled_gauge(
            "edge_connected", "Whether Redis can be read.", "source", connected
        )
        live = {source.name: float(source.is_live) for source in sources}
        what = "Whether a relay publishes what the conductor itself says."
        yield make_labelled_gauge("edge_source_live", what, "source", live)
        sessions = {source.name: float(source.reader.session_count) for source in sources}
        yield make_labelled_counter("edge_sessions", "How often reading began.", "source", sessions)
        reads = {source.name: float(source.reader.read_count) for source in sources}
        yield make_labelled_counter("edge_reads", "Reads that Redis has answered.", "source", reads)
        entries = {source.name: float(source.reader.entry_count) for source in sources}
        yield make_labelled_counter(
            "edge_entries", "Entries of streams that came.", "source", entries
        )
