"""Conductor with hostile answers: `hostile_conductor.py SOCKET KIND`.

Its job `other` is valid and completes ten sheets a second. It implements only the methods that the
server calls. It is a separate process, so that creating an answer does not delay its reader.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SHEETS_PER_SECOND = 10
TOTAL_SHEETS = 5_000

# 100,000 events a second, in bursts.
BURST_EVENTS = 1_000
BURST_INTERVAL_S = 0.01

EVENT = b'{"method":"monitor.event","params":{"job_id":"other","event":"observer.x","data":null}}\n'

# Entries of `job.list` after the valid job. Each is created on demand.
ROSTERS: dict[str, Callable[[], str]] = {
    "small_roster": lambda: "",
    # 4 MiB of lone surrogates.
    "lone_halves": lambda: format_entry("tail", '"' + r"\udc80" * (4 * 1024 * 1024 // 6) + '"'),
    "not_numbers": lambda: format_entry("tail", "[" + ",".join(["NaN"] * 4_000_000) + "]"),
    "not_jobs": lambda: ',{"a":1}' * 2_000_000,
}

KINDS = ("flood", *ROSTERS, "many_events", "many_sheets")


def format_entry(field: str, value: str) -> str:
    """Return an entry of `job.list` with one more field."""
    return f',{{"job_id":"odd","status":"running","{field}":{value}}}'


class HostileConductor:
    """Conductor whose answers are hostile in one way.

    Args:
        kind: one of KINDS.
    """

    def __init__(self, kind: str) -> None:
        self._started_s = time.monotonic()
        self._kind = kind
        self._extra_entries = ROSTERS.get(kind, ROSTERS["small_roster"])().encode()
        events = "{}," * 2_000_000 if kind == "many_events" else ""
        self._events = b'{"events":[%s]}' % events.rstrip(",").encode()
        if kind == "many_sheets":
            sheets = ",".join(f'"{number}":{{}}' for number in range(1, 1_200_001))
            self._sheets = b"{%s}" % sheets.encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection until it ends."""
        with suppress(ConnectionError):
            while line := await reader.readline():
                request = json.loads(line)
                if request["method"] == "daemon.monitor.stream":
                    await self._send_events(writer)
                result = self._result(request["method"])
                if result is None:
                    answer = b'"error":{"code":-32601,"message":"Method not found"}'
                else:
                    answer = b'"result":' + result
                writer.write(b'{"id":%d,%s}\n' % (request["id"], answer))
                await writer.drain()
        writer.close()

    async def _send_events(self, writer: asyncio.StreamWriter) -> None:
        """Send events until the connection ends, no faster than the client reads."""
        due = time.monotonic()
        while True:
            if self._kind == "flood":
                writer.write(EVENT * BURST_EVENTS)
            due += BURST_INTERVAL_S
            await writer.drain()
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _result(self, method: str) -> bytes | None:
        match method:
            case "daemon.health":
                return b'{"shutting_down":false}'
            case "job.list":
                return b"[" + self._entry() + self._extra_entries + b"]"
            case "job.status":
                return self._checkpoint()
            case "daemon.observer_events":
                return self._events
        return None

    @property
    def _completed(self) -> int:
        return min(TOTAL_SHEETS, int(SHEETS_PER_SECOND * (time.monotonic() - self._started_s)))

    def _entry(self) -> bytes:
        entry = {"job_id": "other", "status": "running", "progress_total": TOTAL_SHEETS}
        return json.dumps({**entry, "progress_completed": self._completed}).encode()

    def _checkpoint(self) -> bytes:
        checkpoint = {"job_id": "other", "status": "running", "total_sheets": TOTAL_SHEETS}
        sheets = {str(n): {"status": "completed"} for n in range(1, self._completed + 1)}
        text = json.dumps({**checkpoint, "sheets": sheets}).encode()
        if self._kind == "many_sheets":
            return text.replace(b'"sheets": {', b'"sheets":%s,"more":{' % self._sheets)
        return text


async def main(path: str, kind: str) -> None:
    """Serve until the process is killed."""
    await asyncio.to_thread(Path(path).unlink, missing_ok=True)
    conductor = HostileConductor(kind)
    async with await asyncio.start_unix_server(conductor.serve, path) as listening:
        sys.stdout.write(f"ready {path}\n")
        sys.stdout.flush()
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
