"""Idle simulated conductor as a process: `python conductor_process.py --socket PATH`.

After SIGTERM it waits for its clients, then ends.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor


async def run_until_sigterm(socket: Path, registry: Path | None) -> None:
    stop_requested = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop_requested.set)
    conductor = SimulatedConductor(socket, registry=registry)
    await conductor.start()
    sys.stdout.write(f"conductor listening at {socket}\n")
    sys.stdout.flush()
    await stop_requested.wait()
    await conductor.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--registry", type=Path)
    options = parser.parse_args()
    asyncio.run(run_until_sigterm(options.socket, options.registry))


if __name__ == "__main__":
    main()
