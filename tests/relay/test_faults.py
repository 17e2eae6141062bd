"""Faults between a relay and Redis: everything is published, and once."""

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from marianne_stream.app import TASKS
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.relay.publish import log_publisher
from marianne_stream.web.app_keys import JOB_HUB
from tests.relay.conftest import (
    JOB,
    KEYS,
    StartRelay,
    append_lines,
    publish_interest,
    read_events,
    read_log_entries,
    read_log_lines,
    wait_for_log_lines,
    wait_subscribed,
)
from tests.support.processes import ManagedProcess, run_process
from tests.support.redis_server import RedisServer, run_redis
from tests.support.waiting import TIMEOUT_S, wait_for_value, wait_until

WRITER = Path(__file__).parents[1] / "support" / "log_writer.py"

TOTAL = 30_000

PASSWORD = "a-Secret,that:must/not@be#seen"


async def test_origin_without_redis_serves_and_publishes_later(
    redis: RedisServer, start_relay: StartRelay, caplog: pytest.LogCaptureFixture, log_path: Path
) -> None:
    await redis.kill()
    async with start_relay() as app:
        assert JOB in (await app[JOB_HUB].roster.get()).entries
        await wait_until(lambda: "publishing failed" in caplog.text)
        await redis.start()
        append_lines(log_path, "one")
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one")
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warnings) == 1
        assert not app[TASKS].failed.is_set()


async def test_data_loss_of_redis_publishes_everything_again(
    conductor: SimulatedConductor, redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    append_lines(log_path, "one", "two")
    async with start_relay():
        await wait_subscribed(conductor)
        conductor.emit(JOB, "job.said")
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one", "two")
        places = [place for place, _ in await read_log_entries(redis)]
        numbered = [place for place, _ in await redis.read_stream(KEYS.events)]
        await redis.kill()
        append_lines(log_path, "three")
        conductor.emit(JOB, "job.said")
        await redis.start()
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one", "two", "three")
        await wait_for_value(lambda: read_events(redis), lambda found: len(found) == 2)
        await wait_for_value(lambda: redis.call("HKEYS", KEYS.states), lambda found: found)
        assert await redis.call("HKEYS", KEYS.jobs) == [JOB.encode()]
        # An edge that has read the event skips it, and finds its position in the log.
        assert [place for place, _ in await redis.read_stream(KEYS.events)][:1] == numbered
        assert min(place for place, _ in await read_log_entries(redis)) > places[-1]


async def test_new_log_file_after_data_loss_has_higher_ids(
    redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    append_lines(log_path, "one", "two")
    async with start_relay():
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one", "two")
        before = (await redis.read_stream(KEYS.log(JOB)))[-1][0]
        await redis.kill()
        log_path.unlink()
        append_lines(log_path, "one")
        await redis.start()
        await publish_interest(redis, "log")
        found = await wait_for_value(lambda: read_log_lines(redis), lambda found: found)
        assert found[-1] == "one"
        after = (await redis.read_stream(KEYS.log(JOB)))[0][0]
        assert int(after.partition(b"-")[0]) > int(before.partition(b"-")[0])


async def test_flushall_while_connected_publishes_everything_again(
    redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    append_lines(log_path, "one")
    async with start_relay():
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one")
        await redis.call("FLUSHALL")
        append_lines(log_path, "two")
        await wait_for_value(lambda: redis.call("HKEYS", KEYS.jobs), lambda found: found)
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one", "two")


async def test_restart_of_durable_redis_loses_and_repeats_nothing(
    conductor: SimulatedConductor, start_relay: StartRelay, log_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    async with (
        run_redis(tmp_path / "data", is_durable=True) as redis,
        start_relay(publish_url=redis.url),
    ):
        await wait_subscribed(conductor)
        conductor.emit(JOB, "job.said")
        append_lines(log_path, "one", "two")
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one", "two")
        await redis.kill()
        conductor.emit(JOB, "job.said")
        append_lines(log_path, "three")
        log_path.rename(log_path.with_name("marianne.log.1"))
        append_lines(log_path, "four")
        await redis.start()
        await wait_for_log_lines(redis, "one", "two", "three", "[log_rotated]", "four")
        await wait_for_value(
            lambda: read_events(redis), lambda found: found == [(1, "job.said"), (2, "job.said")]
        )


@pytest.mark.parametrize("form", ["rename", "copytruncate"])
async def test_rotation_while_no_relay_runs_repeats_no_line(
    redis: RedisServer, start_relay: StartRelay, log_path: Path, form: str
) -> None:
    append_lines(log_path, "head", "one")
    async with start_relay():
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "head", "one")
    append_lines(log_path, "two")
    old = log_path.with_name("marianne.log.1")
    if form == "rename":
        log_path.rename(old)
    else:
        shutil.copyfile(log_path, old)
        os.truncate(log_path, 0)
    append_lines(log_path, "head", "three")
    async with start_relay():
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "head", "one", "two", "[log_rotated]", "head", "three")


async def test_relay_killed_repeatedly_publishes_every_line_once(
    redis: RedisServer, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, "begin")
    async with run_publisher(tmp_path, redis):
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "begin")
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, WRITER, log_path, str(TOTAL), "7"), stdout=asyncio.subprocess.PIPE
    )
    while writer.returncode is None:
        async with run_publisher(tmp_path, redis) as relay:
            await publish_interest(redis, "log")
            before = len(await read_log_lines(redis))

            async def has_more_or_ended(before: int = before) -> bool:
                return writer.returncode is not None or len(await read_log_lines(redis)) > before

            # The writer may end meanwhile, after its last line is published.
            await wait_for_value(has_more_or_ended, bool)
            relay.send_signal(signal.SIGKILL)
            await relay.wait()
        # The lock would expire by itself.
        await redis.call("DEL", KEYS.lock)
    async with run_publisher(tmp_path, redis):
        await publish_interest(redis, "log")
        await wait_for_value(
            lambda: read_log_lines(redis), lambda found: found[-1].startswith(f"{TOTAL} ")
        )
    published = await read_log_lines(redis)
    numbers = [int(line.split()[0]) for line in published if line[0].isdigit()]
    assert numbers == list(range(1, TOTAL + 1))
    assert published.count("[log_rotated]") == sum(
        json.loads((await writer.communicate())[0]).values()
    )


def run_publisher(
    folder: Path, redis: RedisServer, *arguments: object
) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run a process that publishes."""
    return run_process(
        *("-m", "marianne_stream", "--port", "none"),
        *("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db"),
        *("--data-dir", folder / "private", "--source-name", KEYS.source),
        *("--publish-url", redis.url, *arguments),
    )


async def test_publishing_process_reports_its_source_and_releases_the_lock(
    conductor: SimulatedConductor, redis: RedisServer, tmp_path: Path
) -> None:
    async with run_publisher(tmp_path, redis) as relay:
        assert relay.first_line == "marianne-stream publishes as here\n"
        await wait_for_value(lambda: redis.client.get(KEYS.status), lambda found: found)
        async with run_publisher(tmp_path, redis) as second:
            assert await second.wait() == 1
            assert "another relay publishes as 'here'" in second.log
            assert "Traceback" not in second.log
        relay.send_signal(signal.SIGTERM)
        assert await relay.wait() == 0
        assert await redis.client.get(KEYS.status) is None


async def test_password_file_is_used_and_never_logged(
    conductor: SimulatedConductor, redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    await redis.call("CONFIG", "SET", "requirepass", PASSWORD)
    async with run_publisher(
        tmp_path, redis, "--log-level", "debug", "--redis-password-file", file
    ) as a:
        await wait_for_value(lambda: redis.client.get(KEYS.status), lambda found: found)
        await redis.call("CONFIG", "SET", "requirepass", "another")
        await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await wait_until(lambda: "publishing failed" in a.log)
        a.send_signal(signal.SIGTERM)
        assert await a.wait() == 0
        assert PASSWORD not in a.log + a.output


async def test_password_in_url_is_never_logged(
    conductor: SimulatedConductor, redis: RedisServer, tmp_path: Path
) -> None:
    url = f"redis://somebody:{quote(PASSWORD, safe='')}@127.0.0.1:{redis.port}"
    async with run_publisher(
        tmp_path, redis, "--log-level", "debug", "--publish-url", url
    ) as relay:
        await wait_until(lambda: "publishing failed" in relay.log)
        assert f"redis://***@127.0.0.1:{redis.port}" in relay.log
        assert quote(PASSWORD, safe="") not in relay.log
        assert PASSWORD not in relay.log


async def test_edge_with_invalid_url_exits_with_a_sentence() -> None:
    url = "redis+sentinel://u:Secret@here:1"
    edge = ("-m", "marianne_stream", "--port", 0, "--no-auth", "--state-backend", "redis")
    async with run_process(*edge, "--redis-url", url, "--sources", "oak") as running:
        assert await running.wait() == 2
        assert running.log == (
            "marianne-stream: redis+sentinel://***@here:1 is not a URL of Redis: use redis://, "
            "rediss:// or unix://, or redis+sentinel:// with HOST:PORT,…/SERVICE\n"
        )


async def test_quiet_published_log_does_not_expire(
    redis: RedisServer, start_relay: StartRelay, log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_publisher, "EXPIRY_RENEW_FRACTION", 0.001)
    append_lines(log_path, "one")
    async with start_relay(redis_log_ttl_s=100):
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one")
        await redis.call("EXPIRE", KEYS.log(JOB), 5)
        await wait_for_value(partial(redis.call, "TTL", KEYS.log(JOB)), lambda left_s: left_s > 50)


async def test_password_file_readable_by_others_is_refused(
    redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    file.chmod(0o644)
    async with run_publisher(tmp_path, redis, "--redis-password-file", file) as relay:
        assert await relay.wait() == 2
        assert "holds the password for Redis, and must be its owner's alone" in relay.log


async def test_password_passed_by_systemd_is_accepted_with_any_mode(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    # The ACL by which systemd grants access shows as the group's permission.
    file.chmod(0o440)
    await redis.call("CONFIG", "SET", "requirepass", PASSWORD)
    async with run_publisher(tmp_path, redis, "--redis-password-file", file):
        await wait_for_value(lambda: redis.client.get(KEYS.status), lambda found: found)


async def test_publish_url_without_redis_py_names_the_extra(tmp_path: Path) -> None:
    words = (
        "import sys; sys.modules['redis'] = None\n"
        "from marianne_stream.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    starting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", words, "--port", "0", "--no-auth", "--data-dir", tmp_path),
        *("--publish-url", "redis://127.0.0.1:1", "--source-name", "one"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, log = await starting.communicate()
    finally:
        if starting.returncode is None:
            # It serves all the same.
            starting.kill()
            await starting.wait()
    assert starting.returncode
    assert "pip install 'marianne-stream[redis]'" in log.decode()


async def test_server_without_relay_starts_without_redis_py() -> None:
    words = "import sys; sys.modules['redis'] = None; import marianne_stream.server.run"
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", words)
    assert await done.wait() == 0
