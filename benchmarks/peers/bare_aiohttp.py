"""A stream of aiohttp with nothing but a head and one chunk: what an open stream costs at least.

It prints where it listens.
"""

import asyncio
import sys

from aiohttp import web


async def stream_comment(request: web.Request) -> web.StreamResponse:
    """Sends one comment, and waits for ever."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b": hello\n\n")
    await asyncio.get_running_loop().create_future()
    return response


async def main() -> None:
    """Serves until it is killed."""
    app = web.Application()
    app.router.add_get("/", stream_comment)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    sys.stdout.write(f"ready http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
