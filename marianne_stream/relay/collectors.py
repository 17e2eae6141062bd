"""Prometheus collectors of a publisher and of an edge."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from marianne_stream.wire.metric_families import (
    make_counter,
    make_gauge,
    make_labelled_counter,
    make_labelled_gauge,
)

if TYPE_CHECKING:
    from marianne_stream.relay.edge.edge import Edge
    from marianne_stream.relay.publish.publisher import Publisher


def make_collectors(publisher: "Publisher | None", edge: "Edge | None") -> list[Collector]:
    """Return the collectors of the parts that there are."""
    collectors: list[Collector] = []
    if publisher is not None:
        collectors.append(PublisherCollector(publisher))
    if edge is not None:
        collectors.append(EdgeCollector(edge))
    return collectors


class PublisherCollector(Collector):
    """Metrics of a publisher."""

    def __init__(self, publisher: "Publisher") -> None:
        self._publisher = publisher

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        relay, written = self._publisher, self._publisher.write_stats
        publishing = "Whether the server publishes: Redis answers, and no other relay has the lock."
        yield make_gauge("relay_publishing", publishing, int(relay.is_publishing))
        yield make_counter("relay_starts", "Times that publishing began.", relay.start_count)
        yield make_gauge("relay_published_logs", "Published logs.", relay.published_log_count)
        yield make_counter("relay_batches", "Batches that Redis has run.", written.batch_count)
        yield make_counter("relay_commands", "Commands in batches.", written.command_count)
        duplicates = "Entries that Redis had before, and refused."
        yield make_counter("relay_duplicate_entries", duplicates, written.duplicate_count)
        seconds = "Total time that Redis took for batches."
        yield make_counter("relay_write_seconds", seconds, written.write_s)


class EdgeCollector(Collector):
    """Metrics of an edge, by source."""

    def __init__(self, edge: "Edge") -> None:
        self._edge = edge

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        sources = self._edge.sources.values()
        connected = {source.name: float(source.reader.is_connected) for source in sources}
        yield make_labelled_gauge(
            "edge_connected", "Whether Redis can be read.", "source", connected
        )
        live = {source.name: float(source.is_live) for source in sources}
        yield make_labelled_gauge(
            "edge_source_live", "Whether a relay publishes live state.", "source", live
        )
        sessions = {source.name: float(source.reader.session_count) for source in sources}
        yield make_labelled_counter("edge_sessions", "Sessions of reading.", "source", sessions)
        reads = {source.name: float(source.reader.read_count) for source in sources}
        yield make_labelled_counter("edge_reads", "Reads that Redis answered.", "source", reads)
        entries = {source.name: float(source.reader.entry_count) for source in sources}
        yield make_labelled_counter("edge_entries", "Stream entries read.", "source", entries)
