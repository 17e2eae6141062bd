"""Simulated conductor as a process: `python -m marianne_stream.demo --socket PATH`."""

import argparse
import asyncio
import math
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from marianne_stream.demo.conductor_server import ConductorServer
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay import ReplayConductor
from marianne_stream.demo.scenario import Scenario, make_recorded_scenario
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import SettingsError

EXIT_SETTINGS = 2
SCENARIOS: dict[str, Callable[..., Scenario]] = {
    "demo": Scenario,
    "four-jobs": make_recorded_scenario,
}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m marianne_stream.demo",
        description="Run a simulated conductor. After SIGTERM it waits for its clients, then ends.",
    )
    parser.add_argument("--socket", type=Path, required=True, help="path of the socket")
    parser.add_argument("--registry", type=Path, help="SQLite file of the registry")
    parser.add_argument(
        "--folder", type=Path, help="folder of the workspaces (default: a temporary one)"
    )
    parser.add_argument("--scenario", choices=[*SCENARIOS, "none"], default="demo")
    parser.add_argument("--replay", type=Path, help="recording to replay instead of a scenario")
    parser.add_argument(
        "--speed", type=parse_positive, default=1.0, help="speed as a multiple of real time"
    )
    return parser


def parse_positive(text: str) -> float:
    """Parse a number above 0 from the command line."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}, expected a number above 0")
    return value


async def run(options: argparse.Namespace) -> None:
    """Run a conductor until SIGTERM, then until all of its connections have gone.

    Raises:
        SettingsError: the recording cannot be read.
        OSError: the socket cannot be bound.
    """
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_requested.set)
    if options.replay is not None:
        await run_replay(options, stop_requested)
    else:
        await run_simulation(options, stop_requested)


async def run_replay(options: argparse.Namespace, stop_requested: asyncio.Event) -> None:
    """Replay a recording until a stop is requested."""
    recording = await asyncio.to_thread(Recording.from_file, options.replay)
    replay = ReplayConductor(options.socket, recording, speed=options.speed)
    await start_conductor(replay)
    await stop_requested.wait()
    await replay.stop()


async def run_simulation(options: argparse.Namespace, stop_requested: asyncio.Event) -> None:
    """Run a scenario, or a conductor without jobs, until a stop is requested."""
    conductor = SimulatedConductor(options.socket, registry=options.registry)
    await start_conductor(conductor)
    async with asyncio.TaskGroup() as group:
        scenario_task = group.create_task(run_scenario(conductor, options))
        await stop_requested.wait()
        scenario_task.cancel()
    await conductor.stop()


async def run_scenario(conductor: SimulatedConductor, options: argparse.Namespace) -> None:
    """Run the chosen scenario, if there is one, in the chosen folder or a temporary one."""
    if options.scenario == "none":
        return
    build = SCENARIOS[options.scenario]
    with ExitStack() as stack:
        folder = options.folder
        if folder is None:
            temporary = TemporaryDirectory(prefix="marianne-demo-")
            folder = Path(stack.enter_context(temporary))
        await build(conductor, folder, speed=options.speed).run()


async def start_conductor(conductor: ConductorServer) -> None:
    """Start a conductor, and print one line."""
    await conductor.start()
    sys.stdout.write(f"conductor listening at {conductor.socket_path}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the command line, and return the exit code: 0 once all connections have gone."""
    options = make_parser().parse_args()
    try:
        asyncio.run(run(options))
    except (SettingsError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_SETTINGS
    return 0


if __name__ == "__main__":
    sys.exit(main())
