"""aiohttp-sse as documented: a queue for each viewer, and `send` from it.

Prints its address. Each line of its standard input goes to all viewers.
"""

import asyncio
import sys

from aiohttp import web
from aiohttp_sse import sse_response

QUEUES: set[asyncio.Queue[str]] = set()


async def stream_events(request: web.Request) -> web.StreamResponse:
    """Send the events of a queue."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    async with sse_response(request) as response:
        await response.send("hello")
        QUEUES.add(queue)
        try:
            while response.is_connected():
                await response.send(await queue.get())
        finally:
            QUEUES.discard(queue)
    return response


def on_stdin() -> None:
    """Put each line of the standard input into every queue."""
    line = sys.stdin.readline()
    if not line:
        sys.exit()
    for queue in QUEUES:
        queue.put_nowait(line.rstrip())


async def main() -> None:
    """Serve until the process is killed."""
    app = web.Application()
    app.router.add_get("/", stream_events)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    sys.stdout.write(f"ready http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    asyncio.get_running_loop().add_reader(0, on_stdin)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
