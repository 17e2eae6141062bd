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


class RelayCollector(Collector):
    """Metrics of the publisher and of the edge, if there are any."""

    def __init__(self, publisher: "Publisher | None", edge: "Edge | None") -> None:
        self._publisher = publisher
        self._edge = edge

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        if self._publisher is not None:
            yield from collect_publisher(self._publisher)
        if self._edge is not None:
            yield from collect_edge(self._edge)


def collect_publisher(publisher: "Publisher") -> Iterator[Metric]:
    """Yield the metrics of a publisher."""
    written = publisher.write_stats
    publishing = "Whether the server publishes: Redis answers, and no other relay has the lock."
    yield make_gauge("relay_publishing", publishing, int(publisher.is_publishing))
    yield make_gauge("relay_published_logs", "Published logs.", publisher.published_log_count)
    for name, help_text, value in (
        ("relay_starts", "Times that publishing began.", publisher.start_count),
        ("relay_batches", "Batches that Redis has run.", written.batch_count),
        ("relay_commands", "Commands in batches.", written.command_count),
        (
            "relay_duplicate_entries",
            "Entries that Redis had before, and refused.",
            written.duplicate_count,
        ),
        ("relay_write_seconds", "Total time that Redis took for batches.", written.write_s),
    ):
        yield make_counter(name, help_text, value)


def collect_edge(edge: "Edge") -> Iterator[Metric]:
    """Yield the metrics of an edge, by source."""
    sources = edge.sources
    readers = {name: source.reader for name, source in sources.items()}
    connected = {name: reader.is_connected for name, reader in readers.items()}
    yield make_labelled_gauge("edge_connected", "Whether Redis can be read.", "source", connected)
    sessions = {name: reader.session_count for name, reader in readers.items()}
    yield make_labelled_counter("edge_sessions", "Sessions of reading.", "source", sessions)
    reads = {name: reader.read_count for name, reader in readers.items()}
    yield make_labelled_counter("edge_reads", "Reads that Redis answered.", "source", reads)
    entries = {name: reader.entry_count for name, reader in readers.items()}
    yield make_labelled_counter("edge_entries", "Stream entries read.", "source", entries)
    live = {name: source.is_live for name, source in sources.items()}
    live_help = "Whether a relay publishes live state."
    yield make_labelled_gauge("edge_source_live", live_help, "source", live)
