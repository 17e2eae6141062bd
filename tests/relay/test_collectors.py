"""Metrics of an origin and of an edge."""

from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.relay.conftest import append_lines
from tests.support.prometheus import documented_metrics, metrics, parse_samples
from tests.support.redis_server import RedisServer
from tests.support.relay_servers import RelayServer, run_edge, run_origin
from tests.support.waiting import wait_for_value


async def read_metrics(site: RelayServer, *, of: str) -> dict[str, float]:
    """Return the metrics of a part, without the prefix of their names."""
    _, text = await site.get("/metrics")
    found = {name: value for name, value in parse_samples(text).items() if f"_{of}_" in name}
    prefix = f"marianne_stream_{of}_"
    served, documented = metrics(text), documented_metrics()
    assert {name: served[name] for name in served if name.startswith(prefix)} == {
        name: documented[name] for name in documented if name.startswith(prefix)
    }
    return {name.partition(f"_{of}_")[2]: value for name, value in found.items()}


async def test_metrics_of_origin_and_edge_follow_the_connection(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "one")
    async with run_origin(tmp_path, redis) as first, run_edge(redis) as second:
        await second.wait_live("lantern")
        async with second.open_viewer("/api/jobs/lantern/logs") as lines:
            await lines.wait_for("log")
            relay = await read_metrics(first, of="relay")
            assert (relay["publishing{}"], relay["starts_total{}"]) == (1, 1)
            assert (relay["published_logs{}"], relay["duplicate_entries_total{}"]) == (1, 0)
            assert relay["commands_total{}"] > relay["batches_total{}"] > 2
            assert relay["write_seconds_total{}"] > 0
            seen = await read_metrics(second, of="edge")
            assert (seen["connected{source=oak}"], seen["source_live{source=oak}"]) == (1, 1)
            assert seen["sessions_total{source=oak}"] == 1
            assert seen["entries_total{source=oak}"] >= 1 <= seen["reads_total{source=oak}"]
        await redis.kill()
        await wait_for_value(
            lambda: read_metrics(first, of="relay"), lambda found: found["publishing{}"] == 0
        )
        await wait_for_value(
            lambda: read_metrics(second, of="edge"),
            lambda found: (
                (found["connected{source=oak}"], found["source_live{source=oak}"]) == (0, 0)
            ),
        )
        await redis.start()
        await wait_for_value(
            lambda: read_metrics(first, of="relay"),
            lambda found: (found["publishing{}"], found["starts_total{}"]) == (1, 2),
        )
