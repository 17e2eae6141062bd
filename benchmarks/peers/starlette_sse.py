"""sse-starlette on uvicorn as documented: a queue for each viewer.

Prints its address. Each line of its standard input goes to all viewers.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

QUEUES: set[asyncio.Queue[str]] = set()


async def read_queue(queue: "asyncio.Queue[str]") -> AsyncIterator[dict[str, str]]:
    """Yield the events of a queue."""
    QUEUES.add(queue)
    try:
        yield {"data": "hello"}
        while True:
            yield {"data": await queue.get()}
    finally:
        QUEUES.discard(queue)


async def stream_events(_request: Request) -> EventSourceResponse:
    """Stream the events of a queue."""
    return EventSourceResponse(read_queue(asyncio.Queue()))


def on_stdin() -> None:
    """Put each line of the standard input into every queue."""
    line = sys.stdin.readline()
    if not line:
        sys.exit()
    for queue in QUEUES:
        queue.put_nowait(line.rstrip())


async def main() -> None:
    """Serve until the process is killed."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
    config = uvicorn.Config(
        Starlette(routes=[Route("/", stream_events)]),
        log_level="error",
        access_log=False,
        loop="asyncio",
    )
    sys.stdout.write(f"ready http://127.0.0.1:{sock.getsockname()[1]}\n")
    sys.stdout.flush()
    asyncio.get_running_loop().add_reader(0, on_stdin)
    await uvicorn.Server(config).serve([sock])


if __name__ == "__main__":
    asyncio.run(main())
