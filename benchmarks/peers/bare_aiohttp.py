"""Bare aiohttp stream, a head and one chunk: the least cost of an open stream.

Prints its address.
"""

import asyncio
import sys

from aiohttp import web


async def stream_comment(request: web.Request) -> web.StreamResponse:
    """Send one comment and wait forever."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b": hello\n\n")
    await asyncio.get_running_loop().create_future()
    return response


async def main() -> None:
    """Serve until the process is killed."""
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
