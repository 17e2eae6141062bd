"""A conductor of one job whose state is 8 MB, made beforehand: `heavy_conductor.py PATH KIND`.

It knows no more of the protocol than what a server asks of it. A process of its own, so that making
the answer is not measured with reading it.
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
    """A state of about 8 MB; a small one where the kind is none of these."""
    sheet = {"status": "completed", "instrument_name": "cli", **KINDS.get(kind, {})}
    count = SIZE_BYTES // len(json.dumps(sheet)) if kind in KINDS else 10
    sheets = {str(number): sheet for number in range(1, count + 1)}
    return {"job_id": "a", "status": "running", "total_sheets": count, "sheets": sheets}


async def main(path: str, kind: str) -> None:
    """Answers until it is killed."""
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
