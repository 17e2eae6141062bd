"""Altered cursors: an error or a stream with a gap, never a failure of the server."""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.log_files import append_lines
from tests.support.log_lines import LOGS
from tests.web.conftest import Client

ALTERED = 150

# What stands in the place of a byte of a cursor.
BYTES = "0123456789abcdef-.xlcsftru\x7f é"


def altered(cursor: str, seed: int) -> Iterator[str]:
    """Yield a cursor with one to three bytes replaced, inserted or removed, or other numbers."""
    chance = random.Random(seed)
    parts = cursor.split("-")
    for place, part in enumerate(parts):
        if part.isdigit():
            for number in ("0", "1", str(max(0, int(part) - 1)), str(int(part) + 1), "9" * 18):
                yield "-".join((*parts[:place], number, *parts[place + 1 :]))
    for _ in range(ALTERED):
        found = cursor
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(found))
            found = found[:at] + chance.choice(("", chance.choice(BYTES))) + found[at + 1 :]
        yield found.strip() or "-"


def numbers(text: str) -> list[int]:
    """Return all line numbers in a response."""
    parts = text.replace(": ", ":").split('"line_number":')[1:]
    return [int(part.split(",")[0].split("}")[0]) for part in parts]


@pytest.fixture
async def cursors(log_path: Path, client: Client) -> list[str]:
    """Return cursors at the start, in the middle and at the end of a log of three files."""
    append_lines(log_path, *(f"[error] line {n} {'x' * 20_000}" for n in range(1, 11)))
    log_path.with_name("marianne.log.2.gz").write_bytes(gzip.compress(log_path.read_bytes()))
    log_path.unlink()
    append_lines(log_path, *(f"line {n}" for n in range(11, 21)))
    log_path.rename(log_path.with_name("marianne.log.1"))
    append_lines(log_path, *(f"line {n}" for n in range(21, 31)))
    with log_path.open("a") as file:
        file.write("not ended")
    answer = await client.get(f"{LOGS}/lines", params={"limit": "1000"})
    page = await answer.json()
    found = [line["cursor"] for line in page["lines"]]
    open_end = found[-1].split("-")
    open_end[3] += "u"
    return [found[0], found[9], found[15], found[-1], page["after"], "-".join(open_end)]


@pytest.mark.parametrize("parameter", ["before", "after", "around"])
async def test_log_page_with_altered_cursor_is_correct_or_an_error(
    client: Client, cursors: list[str], parameter: str
) -> None:
    for seed, cursor in enumerate(cursors):
        for text in altered(cursor, seed):
            for more in ({}, {"level": "error"}):
                answer = await client.get(f"{LOGS}/lines", params={parameter: text, **more})
                body = await answer.text()
                assert answer.status in (200, 400, 404, 410), (text, body)
                assert all(number > 0 for number in numbers(body)), text


async def test_log_stream_with_altered_cursor_resumes_or_reports_gap(
    client: Client, cursors: list[str]
) -> None:
    for seed, cursor in enumerate(cursors):
        for kind in "lcx":
            for text in altered(kind + cursor[1:], seed):
                params = {"follow": "false", "last_event_id": text, "tail_lines": "3"}
                answer = await client.get(LOGS, params=params)
                body = await answer.text()
                assert answer.status in (200, 204, 400), (text, body)
                assert all(number > 0 for number in numbers(body)), text
                assert "stream_error" not in body


@pytest.fixture
async def streams(conductor: SimulatedConductor) -> dict[str, list[str]]:
    """Return the cursors of other streams, by path."""
    conductor.launch("lantern", 2)
    status = "s-" + "0123456789abcdef01234567"
    timeline = "t-0123456789abcdef-5"
    return {
        "/api/jobs/lantern/stream": [status, "f" + status[1:]],
        "/api/roster/stream": ["r" + status[1:]],
        "/api/events/stream": [timeline, f"{timeline}.fedcba9876543210-3"],
        "/api/jobs/lantern/events": [timeline],
    }


async def test_stream_with_altered_cursor_starts_or_is_refused(
    client: Client, streams: dict[str, list[str]]
) -> None:
    for path, cursors in streams.items():
        for seed, cursor in enumerate(cursors):
            for text in altered(cursor, seed):
                async with client.get(path, params={"last_event_id": text}) as answer:
                    assert answer.status in (200, 204, 400), text
                    if answer.status == 200:
                        first = await answer.content.readuntil(b"\n\n")
                        assert b"stream_error" not in first


async def test_job_page_with_altered_token_is_correct_or_an_error(
    conductor: SimulatedConductor, client: Client
) -> None:
    for name in ("lantern", "beacon", "candle"):
        conductor.launch(name, 1)
    answer = await client.get("/api/jobs", params={"limit": "1"})
    mark = (await answer.json())["next"]
    for text in altered(mark, 0):
        answer = await client.get("/api/jobs", params={"after": text})
        assert answer.status in (200, 400), text
