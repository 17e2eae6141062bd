"""Conductor of one job with a prepared state of 8 MB: `large_state_conductor.py PATH KIND`.

It implements only the methods that the server calls. It is a separate process, so that creating
the answer is not measured.
"""

import asyncio
import json
import sys

SIZE_BYTES = 8_000_000
KINDS: dict[str, dict[str, object]] = {
    "values": {"history": [{"at": n, "ok": True, "note": None} for n in range(50)]},
    "strings": {"stdout_tail": "é✓ \n" * 40_000},
}


def make_checkpoint(kind: str) -> dict[str, object]:
    """Return a state of about 8 MB, or a small one if the kind is unknown."""
    sheet = {"status": "completed", "instrument_name": "cli", **KINDS.get(kind, {})}
    count = SIZE_BYTES // len(json.dumps(sheet)) if kind in KINDS else 10
    sheets = {str(number): sheet for number in range(1, count + 1)}
    return {"job_id": "a", "status": "running", "total_sheets": count, "sheets": sheets}


async def main(path: str, kind: str) -> None:
    """Serve until the process is killed."""
    results = {
        "daemon.health": json.dumps({"shutting_down": False}),
        "job.list": json.dumps([{"job_id": "a", "status": "running"}]),
        "job.status": json.dumps(make_checkpoint(kind)),
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = json.loads(line)
            if request["method"] in results:
                result = results[request["method"]]
                writer.write(b'{"id":%d,"result":%s}\n' % (request["id"], result.encode()))
                await writer.drain()

    async with await asyncio.start_unix_server(answer, path) as listening:
        sys.stdout.write(f"ready {path}\n")
        sys.stdout.flush()
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
