"""The server, and a way to ask what it keeps: `counted_server.py SOCKET REGISTRY`.

It prints where it listens, and answers each line of its standard input with one of JSON.
"""

import asyncio
import json
import sys
from pathlib import Path

from marianne_stream.config.settings import Settings
from marianne_stream.server.memory import collect_garbage, trim_heap
from marianne_stream.server.run import serve


def on_stdin() -> None:
    """Reads a line, gives back what is free, and says how many tasks there are."""
    if sys.stdin.readline():
        # As it does by itself every half minute: what is measured next is what it keeps.
        collect_garbage(0)
        trim_heap()
        print_line(json.dumps({"tasks": len(asyncio.all_tasks())}))
    else:
        asyncio.get_running_loop().remove_reader(sys.stdin)


def print_line(line: str) -> None:
    """Writes a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> int:
    """Serves until it is told to end."""
    asyncio.get_running_loop().add_reader(sys.stdin, on_stdin)
    settings = Settings(port=0, conductor_socket=Path(sys.argv[1]), registry_path=Path(sys.argv[2]))
    return await serve(settings, announce=print_line)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
