"""A job's log as a stream: what a viewer is sent, and where it goes on."""

import gzip
import os
import shutil
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.logs.filters import RegexFilter
from tests.support.viewers import Viewer
from tests.support.waiting import wait_until
from tests.web.conftest import Client, OpenStream

JOB = "lantern"
LOGS = f"/api/jobs/{JOB}/logs"


def append(log: Path, *lines: str) -> None:
    with log.open("a", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in lines)


def lines_of(viewer: Viewer) -> list[tuple[int, str]]:
    return [(data["line_number"], data["line"]) for data in viewer.event_data("log")]


async def has(viewer: Viewer, *lines: str) -> None:
    """Waits until a viewer has seen as many lines, and checks that they are these."""
    await wait_until(lambda: viewer.event_counts["log"] >= len(lines))
    assert [line for _, line in lines_of(viewer)] == list(lines)


async def test_a_viewer_gets_the_tail_and_then_what_is_written(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, *(f"line {n}" for n in range(1, 251)))
    async with open_stream(LOGS, tail_lines="3") as viewer:
        await has(viewer, "line 248", "line 249", "line 250")
        append(log_path, "line 251")
        await has(viewer, "line 248", "line 249", "line 250", "line 251")
        assert lines_of(viewer)[-1] == (251, "line 251")
        assert [data["initial"] for data in viewer.event_data("log")] == [True, True, True, False]


async def test_a_line_split_across_writes_is_sent_once_and_whole(
    log_path: Path, open_stream: OpenStream
) -> None:
    log_path.touch()
    async with open_stream(LOGS) as viewer:
        with log_path.open("ab", buffering=0) as file:
            file.write("é✓".encode()[:3])
            await wait_until(lambda: viewer.retry_ms)
            file.write("é✓".encode()[3:] + b" rest\r\nnext")
            await has(viewer, "é✓ rest")
            file.write(b"\n")
            await has(viewer, "é✓ rest", "next")


async def test_one_who_comes_back_gets_what_it_missed_and_nothing_twice(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "one", "two")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "one", "two")
        seen = viewer.last_event_id
    append(log_path, "three")
    async with open_stream(LOGS, last_event_id=seen) as viewer:
        await has(viewer, "three")
        assert viewer.event_names == ["log"]


@pytest.mark.parametrize("form", ["plain", "gzip"])
async def test_one_who_comes_back_after_a_rotation_reads_on_in_the_old_file(
    log_path: Path, open_stream: OpenStream, form: str
) -> None:
    append(log_path, "same head", "one")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "same head", "one")
        seen = viewer.last_event_id
    append(log_path, "two")
    old = log_path.with_name("marianne.log.1")
    if form == "gzip":
        with gzip.open(f"{old}.gz", "wb") as packed:
            packed.write(log_path.read_bytes())
        log_path.unlink()
    else:
        log_path.rename(old)
    append(log_path, "same head", "three")
    async with open_stream(LOGS, last_event_id=seen) as viewer:
        await has(viewer, "two", "same head", "three")
        assert viewer.event_names == ["log", "log_rotated", "log", "log"]
        assert viewer.event_data("log_rotated") == [
            {"log_file": "marianne.log", "reason": "renamed"}
        ]
        assert [number for number, _ in lines_of(viewer)] == [3, 1, 2]


async def test_a_viewer_goes_on_across_a_rename(log_path: Path, open_stream: OpenStream) -> None:
    append(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "one")
        with log_path.open("a") as file:
            file.write("two\nno end")
        log_path.rename(log_path.with_name("marianne.log.1"))
        append(log_path, "three")
        await has(viewer, "one", "two", "no end", "three")
        assert viewer.event_data("log_rotated")[0]["reason"] == "renamed"
        assert [number for number, _ in lines_of(viewer)] == [1, 2, 3, 1]


async def test_what_copytruncate_cuts_off_is_taken_from_its_copy(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "one")
        append(log_path, "two")
        shutil.copy(log_path, log_path.with_name("marianne.log.1"))
        os.truncate(log_path, 0)
        append(log_path, "three")
        await has(viewer, "one", "two", "three")
        assert viewer.event_data("log_rotated")[0]["reason"] == "truncated"
        assert viewer.event_counts["log_gap"] == 0


async def test_a_file_cut_and_grown_past_the_old_end_is_told_apart(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "one")
        log_path.write_text("ONE\ntwo\n")
        await has(viewer, "one", "ONE", "two")
        assert viewer.event_data("log_rotated")[0]["reason"] == "truncated"


async def test_a_file_deleted_and_made_again_is_replaced(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "one")
        append(log_path, "two")
        log_path.unlink()
        append(log_path, "three")
        await has(viewer, "one", "two", "three")
        assert viewer.event_data("log_rotated")[0]["reason"] == "replaced"


async def test_the_log_is_complete_when_the_job_is_over_and_it_is_quiet(
    log_path: Path, open_stream: OpenStream, client: Client, conductor: SimulatedConductor
) -> None:
    append(log_path, "one")
    async with open_stream(LOGS) as viewer:
        with log_path.open("a") as file:
            file.write("no end")
        conductor.finish(JOB, "completed")
        await viewer.wait_ended()
        assert lines_of(viewer) == [(1, "one"), (2, "no end")]
        assert viewer.event_names[-1] == "log_complete"
        seen = viewer.last_event_id
    answer = await client.get(LOGS, headers={"Last-Event-ID": seen})
    assert answer.status == 204


async def test_a_stream_that_does_not_follow_ends_and_is_not_begun_again(
    log_path: Path, open_stream: OpenStream, client: Client
) -> None:
    append(log_path, "one", "two")
    async with open_stream(LOGS, follow="false", tail_lines="1") as viewer:
        await viewer.wait_ended()
        assert lines_of(viewer) == [(2, "two")]
        assert viewer.event_names == ["log", "log_complete"]
        seen = viewer.last_event_id
    append(log_path, "three")
    answer = await client.get(LOGS, params={"follow": "false", "last_event_id": seen})
    assert answer.status == 204


@pytest.mark.parametrize(
    "cursor",
    ["nonsense", "x" * 7_999, "s-90c69d2e465e06a7cb839934", f"l-1-{1:016x}-4-1-{1:016x}"],
)
async def test_a_cursor_that_does_not_fit_is_said_first(
    log_path: Path, open_stream: OpenStream, cursor: str
) -> None:
    append(log_path, "one", "two")
    async with open_stream(LOGS, last_event_id=cursor) as viewer:
        await has(viewer, "one", "two")
        assert viewer.event_names == ["log_gap", "log", "log"]
        assert viewer.event_data("log_gap") == [{"reason": "cursor_expired", "lost_bytes": None}]


async def test_one_who_saw_no_line_yet_loses_none(log_path: Path, open_stream: OpenStream) -> None:
    log_path.touch()
    async with open_stream(LOGS, tail_lines="0") as viewer:
        await wait_until(lambda: viewer.last_event_id)
        seen = viewer.last_event_id
    append(log_path, "one")
    log_path.rename(log_path.with_name("marianne.log.1"))
    append(log_path, "two")
    async with open_stream(LOGS, tail_lines="0", last_event_id=seen) as viewer:
        await has(viewer, "one", "two")


async def test_a_stream_waits_for_a_log_that_is_not_there_yet(
    log_path: Path, open_stream: OpenStream, client: Client
) -> None:
    assert (await client.get(LOGS)).status == 404
    async with open_stream(LOGS, wait="true") as viewer:
        await wait_until(lambda: viewer.retry_ms)
        append(log_path, "one")
        await has(viewer, "one")


async def test_a_job_that_ends_without_a_log_ends_the_wait(
    log_path: Path, open_stream: OpenStream, client: Client, conductor: SimulatedConductor
) -> None:
    del log_path
    async with open_stream(LOGS, wait="true") as viewer:
        conductor.finish(JOB, "completed")
        await viewer.wait_ended()
        assert viewer.event_names == ["log_missing", "log_complete"]
    params = {"wait": "true", "last_event_id": viewer.last_event_id}
    assert (await client.get(LOGS, params=params)).status == 204


async def test_a_long_line_is_cut_and_marked_and_the_next_starts_right(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "é" * 40_000, "next")
    async with open_stream(LOGS) as viewer:
        await wait_until(lambda: viewer.event_counts["log"] == 2)
        long, following = viewer.event_data("log")
        assert long["line"] == "é" * 32_768
        assert long["truncated"] is True
        assert following["line"] == "next"
        assert "truncated" not in following


async def test_odd_bytes_survive(log_path: Path, open_stream: OpenStream) -> None:
    log_path.write_bytes(b"nul \0 bell \7 esc \x1b[31m\nbad \xff\xfe end\n\n\r\n")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "nul \0 bell \7 esc \x1b[31m", "bad \ufffd\ufffd end", "", "")


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
async def test_a_parameter_that_cannot_be_used_is_named(
    log_path: Path, client: Client, params: dict[str, str], detail: str
) -> None:
    append(log_path, "one")
    answer = await client.get(LOGS, params=params)
    assert answer.status == 400
    assert (await answer.json())["detail"] == detail


def put_in_its_place(kind: str, log: Path, secret: Path) -> None:
    """Puts what is no regular file of the job where its log should be."""
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
async def test_what_is_no_regular_file_of_the_job_is_not_read(
    log_path: Path, client: Client, tmp_path: Path, kind: str
) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (secret := elsewhere / "marianne.log").write_text("secret\n")
    put_in_its_place(kind, log_path, secret)
    for path in (LOGS, f"{LOGS}/raw", f"{LOGS}/static", f"{LOGS}/info"):
        answer = await client.get(path)
        assert answer.status == 403, path
        assert (await answer.json())["code"] == "log_forbidden"


async def test_the_tail_is_right_for_one_who_comes_while_another_follows(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "one")
    async with open_stream(LOGS) as first:
        await has(first, "one")
        append(log_path, *(f"line {n}" for n in range(2, 3001)))
        await wait_until(lambda: first.event_counts["log"] == 3000)
        async with open_stream(LOGS, tail_lines="2") as second:
            await has(second, "line 2999", "line 3000")
            assert [number for number, _ in lines_of(second)] == [2999, 3000]
        log_path.rename(log_path.with_name("marianne.log.1"))
        append(log_path, *(f"new {n}" for n in range(1, 1501)))
        await wait_until(lambda: first.event_counts["log"] == 4500)
        async with open_stream(LOGS, tail_lines="1") as third:
            await has(third, "new 1500")
            assert lines_of(third) == [(1500, "new 1500")]


async def test_a_filter_holds_for_what_is_written_as_for_what_was_there(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "[info] one", "[error] two", "[info] three")
    async with open_stream(LOGS, level="error") as errors, open_stream(LOGS, regex="e$") as others:
        await has(errors, "[error] two")
        await has(others, "[info] one", "[info] three")
        append(log_path, "[info] four", "[error] five")
        await has(errors, "[error] two", "[error] five")
        await has(others, "[info] one", "[info] three", "[error] five")
        assert [number for number, _ in lines_of(errors)] == [2, 5]


async def test_one_who_was_given_a_line_without_an_end_gets_its_rest_when_the_job_runs_on(
    log_path: Path, conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    log_path.write_text("one\ntw")
    conductor.finish(JOB, "completed")
    async with open_stream(LOGS) as viewer:
        await wait_until(lambda: viewer.has_ended)
        assert [line for _, line in lines_of(viewer)] == ["one", "tw"]
        last = viewer.events[-2].event_id
    append(log_path, "o", "three")
    async with open_stream(LOGS, last_event_id=last) as again:
        await has(again, "o", "three")
        assert [number for number, _ in lines_of(again)] == [2, 3]


async def test_a_filter_that_takes_long_holds_up_no_other_viewer(
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
        append(log_path, "one", "two")
        await has(plain, "one", "two")
        assert [viewer.event_counts["log"] for viewer in slow] == [0] * 4
        append(log_path, "three")
        await has(plain, "one", "two", "three")
        may_go.set()
        for viewer in slow:
            await has(viewer, "one")


TRACEBACK = ["Traceback (most recent call last):", '  File "x.py", line 7', "ValueError: no tide"]


async def test_a_filter_keeps_the_lines_below_a_line_in_its_entry(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "[info] one", "[error] two", *TRACEBACK, "[info] three")
    first = ["[error] two", *TRACEBACK]
    async with open_stream(LOGS, level="error") as viewer:
        await has(viewer, *first)
        append(log_path, "2026-11-28 05:00:00 [ERROR   ] four", TRACEBACK[0])
        await wait_until(lambda: viewer.event_counts["log"] == 6)
        seen = viewer.events[-1].event_id
        append(log_path, *TRACEBACK[1:], "[info] five")
        later = ["2026-11-28 05:00:00 [ERROR   ] four", *TRACEBACK]
        await has(viewer, *first, *later)
    async with open_stream(
        LOGS, level="error", contains="ValueError", last_event_id=seen
    ) as viewer:
        # It stands within an entry, whose first line it has seen.
        await has(viewer, TRACEBACK[2])
    async with open_stream(LOGS, regex="two|four", tail_lines="5") as viewer:
        await has(viewer, TRACEBACK[2], *later)
        append(log_path, "[info] four again")
        await has(viewer, TRACEBACK[2], *later, "[info] four again")
