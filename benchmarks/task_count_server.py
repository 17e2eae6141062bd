"""The server with a count of its tasks: `task_count_server.py SOCKET REGISTRY`.

Prints its address, and answers each line of its standard input with one of JSON.
"""

import asyncio
import json
import sys
from pathlib import Path

from marianne_stream.config.settings import Settings
from marianne_stream.server.memory import collect_garbage, trim_heap
from marianne_stream.server.run import serve


def on_stdin() -> None:
    """Read a line, free unused memory, and print the number of tasks."""
    if sys.stdin.readline():
        # As the server does every half minute: the next measurement is of memory in use.
        collect_garbage(0)
        trim_heap()
        print_line(json.dumps({"tasks": len(asyncio.all_tasks())}))
    else:
        asyncio.get_running_loop().remove_reader(sys.stdin)


def print_line(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> int:
    """Serve until stopped."""
    asyncio.get_running_loop().add_reader(sys.stdin, on_stdin)
    settings = Settings(port=0, conductor_socket=Path(sys.argv[1]), registry_path=Path(sys.argv[2]))
    return await serve(settings, announce=lambda lines: print_line("\n".join(lines)))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
