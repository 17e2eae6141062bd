"""`demo`: serve a simulated conductor."""

import asyncio
import math
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from marianne_stream.cli.commands import PROGRAM
from marianne_stream.cli.settings_options import (
    add_settings_options,
    make_settings,
    print_line,
    print_lines,
)
from marianne_stream.config.logging_config import configure_logging
from marianne_stream.config.settings import Settings
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay import ReplayConductor
from marianne_stream.demo.scenario import Scenario
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import MarianneStreamError, SettingsError
from marianne_stream.server.run import serve
from marianne_stream.server.sockets import ListenError

EXAMPLES = f"""\
Examples:
  {PROGRAM} demo
  {PROGRAM} demo --speed 10 --port 9000
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.description = "Serve a simulated conductor whose jobs run in a loop."
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--replay", metavar="FILE", type=Path, help="Replay a recording instead of simulated jobs."
    )
    parser.add_argument(
        "--speed",
        metavar="N",
        type=parse_speed,
        default=1.0,
        help="Speed as a multiple of real time (a number above 0; default: 1.0).",
    )
    add_settings_options(parser, ("host", "port", "log_level", "log_format"))


def run(options: Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    arguments = vars(options)
    replay, speed = arguments.pop("replay"), arguments.pop("speed")
    # The demo ignores the environment's backend and the file's rules; simulated jobs need no token.
    given = {"state_backend": "auto", "no_auth": True, "notifications": ()}
    settings = make_settings({**arguments, **given})
    recording = Recording.from_file(replay) if replay is not None else None
    configure_logging(settings.log_level, settings.log_format)
    with TemporaryDirectory(prefix="marianne-demo-") as folder:
        return asyncio.run(run_demo(settings, Path(folder), recording, speed))


async def run_demo(
    settings: Settings, folder: Path, recording: Recording | None, speed: float
) -> int:
    """Serve a simulated conductor in a folder until the server ends. Cancelling is safe.

    Raises:
        ListenError: the conductor cannot listen on its socket.
        MarianneStreamError: the jobs failed.
    """
    socket, registry = folder / "conductor.sock", folder / "daemon-state.db"
    # A Unix socket and a path in the environment belong to a service, and data_dir has its history.
    paths = {
        "conductor_socket": socket,
        "registry_path": registry,
        "data_dir": folder / "data",
        "uds": None,
        "root_path": "",
    }
    settings = settings.model_copy(update=paths)
    async with AsyncExitStack() as stack:
        if recording is not None:
            await start_conductor(ReplayConductor(socket, recording, speed=speed), stack)
            return await serve(settings, announce=print_lines)
        conductor = SimulatedConductor(socket, registry=registry)
        await start_conductor(conductor, stack)
        jobs_task = asyncio.create_task(Scenario(conductor, folder, speed=speed).run())
        server_task = asyncio.create_task(serve(settings, announce=print_demo_lines))
        tasks = (jobs_task, server_task)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        # The jobs run in an endless loop: the end of their task is a failure.
        if jobs_task in done:
            raise MarianneStreamError(f"the demo's jobs failed: {jobs_task.exception()}")
        return server_task.result()


async def start_conductor(
    conductor: ReplayConductor | SimulatedConductor, stack: AsyncExitStack
) -> None:
    """Start a simulated conductor, which is killed at the end of the context."""
    try:
        await conductor.start()
    except OSError as error:
        path = conductor.socket_path
        raise ListenError(f"the demo cannot listen at {path}: {error}") from error
    stack.push_async_callback(conductor.kill)


def print_demo_lines(lines: Sequence[str]) -> None:
    """Print the addresses, and commands that show the jobs at the first one."""
    address = lines[0].rpartition(" ")[2]
    print_lines(lines)
    print_line("Its jobs are simulated and run in a loop. Open it in a browser, or in a terminal:")
    print_line(f"  {PROGRAM} watch --url {address}")
    print_line(f"  curl -N {address}/api/jobs/tide-tables/stream")


def parse_speed(text: str) -> float:
    """Parse a speed from the command line.

    Raises:
        SettingsError: the speed is not a number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise SettingsError(f"--speed must be a number above 0, got {text!r}")
    return value
