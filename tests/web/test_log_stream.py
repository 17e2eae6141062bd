"""Log as a stream: the tail, new lines, rotation, and resuming."""

import gzip
import os
import shutil
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.logs.filters import RegexFilter
from tests.support.log_files import append_lines
from tests.support.log_lines import JOB, LOGS, expect_lines, numbered_lines
from tests.support.waiting import wait_until
from tests.web.conftest import Client, OpenStream


async def test_log_stream_sends_tail_then_new_lines(
    log_path: Path, open_stream: OpenStream
) -> None:
    append_lines(log_path, *(f"line {n}" for n in range(1, 251)))
    async with open_stream(LOGS, tail_lines="3") as viewer:
        await expect_lines(viewer, "line 248", "line 249", "line 250")
        append_lines(log_path, "line 251")
        await expect_lines(viewer, "line 248", "line 249", "line 250", "line 251")
        assert numbered_lines(viewer)[-1] == (251, "line 251")
        assert [data["initial"] for data in viewer.event_data("log")] == [True, True, True, False]


async def test_line_split_across_writes_is_sent_once(
    log_path: Path, open_stream: OpenStream
) -> None:
    log_path.touch()
    async with open_stream(LOGS) as viewer:
        with log_path.open("ab", buffering=0) as file:
            file.write("é✓".encode()[:3])
            await wait_until(lambda: viewer.retry_ms)
            file.write("é✓".encode()[3:] + b" rest\r\nnext")
            await expect_lines(viewer, "é✓ rest")
            file.write(b"\n")
            await expect_lines(viewer, "é✓ rest", "next")


async def test_resumed_log_stream_sends_missed_lines_once(
    log_path: Path, open_stream: OpenStream
) -> None:
    append_lines(log_path, "one", "two")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "one", "two")
        seen = viewer.last_event_id
    append_lines(log_path, "three")
    async with open_stream(LOGS, last_event_id=seen) as viewer:
        await expect_lines(viewer, "three")
        assert viewer.event_names == ["log"]


@pytest.mark.parametrize("form", ["plain", "gzip"])
async def test_resume_after_rotation_continues_in_old_file(
    log_path: Path, open_stream: OpenStream, form: str
) -> None:
    append_lines(log_path, "same head", "one")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "same head", "one")
        seen = viewer.last_event_id
    append_lines(log_path, "two")
    old = log_path.with_name("marianne.log.1")
    if form == "gzip":
        with gzip.open(f"{old}.gz", "wb") as packed:
            packed.write(log_path.read_bytes())
        log_path.unlink()
    else:
        log_path.rename(old)
    append_lines(log_path, "same head", "three")
    async with open_stream(LOGS, last_event_id=seen) as viewer:
        await expect_lines(viewer, "two", "same head", "three")
        assert viewer.event_names == ["log", "log_rotated", "log", "log"]
        assert viewer.event_data("log_rotated") == [
            {"log_file": "marianne.log", "reason": "renamed"}
        ]
        assert [number for number, _ in numbered_lines(viewer)] == [3, 1, 2]


async def test_log_stream_continues_across_rename_rotation(
    log_path: Path, open_stream: OpenStream
) -> None:
    append_lines(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "one")
        with log_path.open("a") as file:
            file.write("two\nno end")
        log_path.rename(log_path.with_name("marianne.log.1"))
        append_lines(log_path, "three")
        await expect_lines(viewer, "one", "two", "no end", "three")
        assert viewer.event_data("log_rotated")[0]["reason"] == "renamed"
        assert [number for number, _ in numbered_lines(viewer)] == [1, 2, 3, 1]


async def test_copytruncate_rotation_loses_no_line(log_path: Path, open_stream: OpenStream) -> None:
    append_lines(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "one")
        append_lines(log_path, "two")
        shutil.copy(log_path, log_path.with_name("marianne.log.1"))
        os.truncate(log_path, 0)
        append_lines(log_path, "three")
        await expect_lines(viewer, "one", "two", "three")
        assert viewer.event_data("log_rotated")[0]["reason"] == "truncated"
        assert viewer.event_counts["log_gap"] == 0


async def test_truncated_file_grown_past_old_end_is_detected(
    log_path: Path, open_stream: OpenStream
) -> None:
    append_lines(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "one")
        log_path.write_text("ONE\ntwo\n")
        await expect_lines(viewer, "one", "ONE", "two")
        assert viewer.event_data("log_rotated")[0]["reason"] == "truncated"


async def test_recreated_file_is_followed(log_path: Path, open_stream: OpenStream) -> None:
    append_lines(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "one")
        append_lines(log_path, "two")
        log_path.unlink()
        append_lines(log_path, "three")
        await expect_lines(viewer, "one", "two", "three")
        assert viewer.event_data("log_rotated")[0]["reason"] == "replaced"


async def test_log_complete_after_job_ended_and_log_is_quiet(
    log_path: Path, open_stream: OpenStream, client: Client, conductor: SimulatedConductor
) -> None:
    append_lines(log_path, "one")
    async with open_stream(LOGS) as viewer:
        with log_path.open("a") as file:
            file.write("no end")
        conductor.finish(JOB, "completed")
        await viewer.wait_ended()
        assert numbered_lines(viewer) == [(1, "one"), (2, "no end")]
        assert viewer.event_names[-1] == "log_complete"
        seen = viewer.last_event_id
    answer = await client.get(LOGS, headers={"Last-Event-ID": seen})
    assert answer.status == 204


async def test_stream_without_follow_ends_with_204_on_reconnect(
    log_path: Path, open_stream: OpenStream, client: Client
) -> None:
    append_lines(log_path, "one", "two")
    async with open_stream(LOGS, follow="false", tail_lines="1") as viewer:
        await viewer.wait_ended()
        assert numbered_lines(viewer) == [(2, "two")]
        assert viewer.event_names == ["log", "log_complete"]
        seen = viewer.last_event_id
    append_lines(log_path, "three")
    answer = await client.get(LOGS, params={"follow": "false", "last_event_id": seen})
    assert answer.status == 204


@pytest.mark.parametrize(
    "cursor",
    ["nonsense", "x" * 7_999, "s-90c69d2e465e06a7cb839934", f"l-1-{1:016x}-4-1-{1:016x}"],
)
async def test_expired_log_cursor_sends_gap_first(
    log_path: Path, open_stream: OpenStream, cursor: str
) -> None:
    append_lines(log_path, "one", "two")
    async with open_stream(LOGS, last_event_id=cursor) as viewer:
        await expect_lines(viewer, "one", "two")
        assert viewer.event_names == ["log_gap", "log", "log"]
        assert viewer.event_data("log_gap") == [{"reason": "cursor_expired", "lost_bytes": None}]


async def test_log_stream_resumed_before_first_line_loses_none(
    log_path: Path, open_stream: OpenStream
) -> None:
    log_path.touch()
    async with open_stream(LOGS, tail_lines="0") as viewer:
        await wait_until(lambda: viewer.last_event_id)
        seen = viewer.last_event_id
    append_lines(log_path, "one")
    log_path.rename(log_path.with_name("marianne.log.1"))
    append_lines(log_path, "two")
    async with open_stream(LOGS, tail_lines="0", last_event_id=seen) as viewer:
        await expect_lines(viewer, "one", "two")


async def test_log_stream_with_wait_starts_when_log_appears(
    log_path: Path, open_stream: OpenStream, client: Client
) -> None:
    assert (await client.get(LOGS)).status == 404
    async with open_stream(LOGS, wait="true") as viewer:
        await wait_until(lambda: viewer.retry_ms)
        append_lines(log_path, "one")
        await expect_lines(viewer, "one")


async def test_job_end_without_log_ends_the_wait(
    log_path: Path, open_stream: OpenStream, client: Client, conductor: SimulatedConductor
) -> None:
    del log_path
    async with open_stream(LOGS, wait="true") as viewer:
        conductor.finish(JOB, "completed")
        await viewer.wait_ended()
        assert viewer.event_names == ["log_missing", "log_complete"]
    params = {"wait": "true", "last_event_id": viewer.last_event_id}
    assert (await client.get(LOGS, params=params)).status == 204


async def test_long_line_is_truncated_and_marked(log_path: Path, open_stream: OpenStream) -> None:
    append_lines(log_path, "é" * 40_000, "next")
    async with open_stream(LOGS) as viewer:
        await wait_until(lambda: viewer.event_counts["log"] == 2)
        long, following = viewer.event_data("log")
        assert long["line"] == "é" * 32_768
        assert long["truncated"] is True
        assert following["line"] == "next"
        assert "truncated" not in following


async def test_invalid_utf8_is_replaced_and_control_bytes_are_kept(
    log_path: Path, open_stream: OpenStream
) -> None:
    log_path.write_bytes(b"nul \0 bell \7 esc \x1b[31m\nbad \xff\xfe end\n\n\r\n")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "nul \0 bell \7 esc \x1b[31m", "bad \ufffd\ufffd end", "", "")


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        ({"tail_lines": "1001"}, "tail_lines must be between 0 and 1000"),
        ({"tail_lines": "-1"}, "tail_lines must be between 0 and 1000"),
        ({"tail_lines": "ten"}, "tail_lines must be an integer, got 'ten'"),
        ({"follow": "maybe"}, "follow must be true or false, got 'maybe'"),
        ({"wait": ""}, "wait must be true or false, got ''"),
        ({"source": "disk"}, "source must be one of job, conductor, got 'disk'"),
        (
            {"level": "loud"},
            "level must be one of debug, info, warning, error, critical, got 'loud'",
        ),
    ],
)
async def test_invalid_log_parameter_is_named(
    log_path: Path, client: Client, params: dict[str, str], detail: str
) -> None:
    append_lines(log_path, "one")
    answer = await client.get(LOGS, params=params)
    assert answer.status == 400
    assert (await answer.json())["detail"] == detail


def replace_log(kind: str, log: Path, secret: Path) -> None:
    """Replace the log by something that is not a regular file of the job."""
    if kind == "link":
        log.symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(log)
    elif kind == "folder":
        log.mkdir()
    else:
        log.parent.rmdir()
        log.parent.symlink_to(secret.parent)


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "linked folder"])
async def test_log_that_is_not_a_regular_file_of_the_job_is_refused(
    log_path: Path, client: Client, tmp_path: Path, kind: str
) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (secret := elsewhere / "marianne.log").write_text("secret\n")
    replace_log(kind, log_path, secret)
    for path in (LOGS, f"{LOGS}/raw", f"{LOGS}/static", f"{LOGS}/info"):
        answer = await client.get(path)
        assert answer.status == 403, path
        assert (await answer.json())["code"] == "log_forbidden"


async def test_tail_is_correct_while_another_client_follows(
    log_path: Path, open_stream: OpenStream
) -> None:
    append_lines(log_path, "one")
    async with open_stream(LOGS) as first:
        await expect_lines(first, "one")
        append_lines(log_path, *(f"line {n}" for n in range(2, 3001)))
        await wait_until(lambda: first.event_counts["log"] == 3000)
        async with open_stream(LOGS, tail_lines="2") as second:
            await expect_lines(second, "line 2999", "line 3000")
            assert [number for number, _ in numbered_lines(second)] == [2999, 3000]
        log_path.rename(log_path.with_name("marianne.log.1"))
        append_lines(log_path, *(f"new {n}" for n in range(1, 1501)))
        await wait_until(lambda: first.event_counts["log"] == 4500)
        async with open_stream(LOGS, tail_lines="1") as third:
            await expect_lines(third, "new 1500")
            assert numbered_lines(third) == [(1500, "new 1500")]


async def test_log_filter_applies_to_tail_and_new_lines(
    log_path: Path, open_stream: OpenStream
) -> None:
    append_lines(log_path, "[info] one", "[error] two", "[info] three")
    async with open_stream(LOGS, level="error") as errors, open_stream(LOGS, regex="e$") as others:
        await expect_lines(errors, "[error] two")
        await expect_lines(others, "[info] one", "[info] three")
        append_lines(log_path, "[info] four", "[error] five")
        await expect_lines(errors, "[error] two", "[error] five")
        await expect_lines(others, "[info] one", "[info] three", "[error] five")
        assert [number for number, _ in numbered_lines(errors)] == [2, 5]


async def test_unfinished_line_is_completed_when_job_resumes(
    log_path: Path, conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    log_path.write_text("one\ntw")
    conductor.finish(JOB, "completed")
    async with open_stream(LOGS) as viewer:
        await wait_until(lambda: viewer.has_ended)
        assert [line for _, line in numbered_lines(viewer)] == ["one", "tw"]
        last = viewer.events[-2].event_id
    append_lines(log_path, "o", "three")
    async with open_stream(LOGS, last_event_id=last) as again:
        await expect_lines(again, "o", "three")
        assert [number for number, _ in numbered_lines(again)] == [2, 3]


async def test_slow_filter_delays_no_other_client(
    log_path: Path, open_stream: OpenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go = threading.Event()
    matching = RegexFilter.matches

    def slowly(wanted: RegexFilter, line: bytes) -> bool:
        may_go.wait(10)
        return matching(wanted, line)

    monkeypatch.setattr(RegexFilter, "matches", slowly)
    log_path.touch()
    async with AsyncExitStack() as stack:
        slow = [
            await stack.enter_async_context(open_stream(LOGS, tail_lines="0", regex=f"[{n}o]ne"))
            for n in range(4)
        ]
        plain = await stack.enter_async_context(open_stream(LOGS, tail_lines="0"))
        await wait_until(lambda: all(viewer.retry_ms for viewer in (*slow, plain)))
        append_lines(log_path, "one", "two")
        await expect_lines(plain, "one", "two")
        assert [viewer.event_counts["log"] for viewer in slow] == [0] * 4
        append_lines(log_path, "three")
        await expect_lines(plain, "one", "two", "three")
        may_go.set()
        for viewer in slow:
            await expect_lines(viewer, "one")


TRACEBACK = ["Traceback (most recent call last):", '  File "x.py", line 7', "ValueError: no tide"]


async def test_log_filter_passes_whole_entries(log_path: Path, open_stream: OpenStream) -> None:
    append_lines(log_path, "[info] one", "[error] two", *TRACEBACK, "[info] three")
    first = ["[error] two", *TRACEBACK]
    async with open_stream(LOGS, level="error") as viewer:
        await expect_lines(viewer, *first)
        append_lines(log_path, "2026-11-28 05:00:00 [ERROR   ] four", TRACEBACK[0])
        await wait_until(lambda: viewer.event_counts["log"] == 6)
        seen = viewer.events[-1].event_id
        append_lines(log_path, *TRACEBACK[1:], "[info] five")
        later = ["2026-11-28 05:00:00 [ERROR   ] four", *TRACEBACK]
        await expect_lines(viewer, *first, *later)
    async with open_stream(
        LOGS, level="error", contains="ValueError", last_event_id=seen
    ) as viewer:
        # It stands within an entry, whose first line it has seen.
        await expect_lines(viewer, TRACEBACK[2])
    async with open_stream(LOGS, regex="two|four", tail_lines="5") as viewer:
        await expect_lines(viewer, TRACEBACK[2], *later)
        append_lines(log_path, "[info] four again")
        await expect_lines(viewer, TRACEBACK[2], *later, "[info] four again")
