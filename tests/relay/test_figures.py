"""What Prometheus is told of a relay and of an edge."""

from pathlib import Path

from marianne_stream.demo.conductor import SimulatedConductor
from tests.relay.conftest import append
from tests.support.edges import Site, edge, origin
from tests.support.prometheus import documented_metrics, metrics, samples
from tests.support.redis import RedisServer
from tests.support.waiting import eventually


async def figures(site: Site, *, of: str) -> dict[str, float]:
    """The figures of a part, by what follows its name."""
    _, text = await site.get("/metrics")
    found = {name: value for name, value in samples(text).items() if f"_{of}_" in name}
    prefix = f"marianne_stream_{of}_"
    served, documented = metrics(text), documented_metrics()
    assert {name: served[name] for name in served if name.startswith(prefix)} == {
        name: documented[name] for name in documented if name.startswith(prefix)
    }
    return {name.partition(f"_{of}_")[2]: value for name, value in found.items()}


async def test_a_relay_and_an_edge_tell_how_they_are(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log: Path
) -> None:
    append(log, "one")
    async with origin(tmp_path, redis) as first, edge(redis) as second:
        await second.follows("lantern")
        async with second.watch("/api/jobs/lantern/logs") as lines:
            await lines.saw("log")
            relay = await figures(first, of="relay")
            assert (relay["publishing{}"], relay["starts_total{}"]) == (1, 1)
            assert (relay["published_logs{}"], relay["duplicate_entries_total{}"]) == (1, 0)
            assert relay["commands_total{}"] > relay["batches_total{}"] > 2
            assert relay["write_seconds_total{}"] > 0
            seen = await figures(second, of="edge")
            assert (seen["connected{source=oak}"], seen["source_live{source=oak}"]) == (1, 1)
            assert seen["sessions_total{source=oak}"] == 1
            assert seen["entries_total{source=oak}"] >= 1 <= seen["reads_total{source=oak}"]
        await redis.kill()
        await eventually(
            lambda: figures(first, of="relay"), lambda found: found["publishing{}"] == 0
        )
        await eventually(
            lambda: figures(second, of="edge"),
            lambda found: (
                (found["connected{source=oak}"], found["source_live{source=oak}"]) == (0, 0)
            ),
        )
        await redis.start()
        await eventually(
            lambda: figures(first, of="relay"),
            lambda found: (found["publishing{}"], found["starts_total{}"]) == (1, 2),
        )
