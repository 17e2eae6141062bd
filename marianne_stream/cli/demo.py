"""`demo`: the server, with a simulated conductor of its own."""

import asyncio
import math
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from marianne_stream.cli.commands import PROGRAM
from marianne_stream.cli.settings_options import add_settings_options, make_settings, print_line
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

# The tasks that a demo's conductor needs besides itself.
PlayerTasks = tuple[asyncio.Task[None], ...]


def add_arguments(parser: ArgumentParser) -> None:
    """Gives a parser the demo's own options, and a few settings."""
    parser.description = "Serves a simulated conductor, whose jobs run in a loop; none is needed."
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("--replay", metavar="FILE", type=Path, help="Plays a recording instead.")
    parser.add_argument(
        "--speed",
        metavar="N",
        type=parse_speed,
        default=1.0,
        help="How many times as fast as life (a number above 0; default: 1.0).",
    )
    add_settings_options(parser, ("host", "port", "log_level", "log_format"))


def run(options: Namespace) -> int:
    """Serves until SIGTERM or SIGINT."""
    given = vars(options)
    replay, times = given.pop("replay"), given.pop("speed")
    # Where the environment says that state is to be read is not for the demo.
    # What is invented needs no token, and is for this machine alone.
    settings = make_settings({**given, "state_backend": "auto", "no_auth": True})
    recording = Recording.from_file(replay) if replay is not None else None
    configure_logging(settings.log_level, settings.log_format)
    with TemporaryDirectory(prefix="marianne-demo-") as folder:
        return asyncio.run(run_demo(settings, Path(folder), recording, times))


async def run_demo(
    settings: Settings, folder: Path, recording: Recording | None, speed: float
) -> int:
    """Serves a simulated conductor that lives in a folder, until the server ends."""
    socket, registry = folder / "conductor.sock", folder / "daemon-state.db"
    # The Unix socket that the environment may name is a service's.
    place = {"conductor_socket": socket, "registry_path": registry, "uds": None}
    settings = settings.model_copy(update=place)
    if recording is not None:
        conductor = run_replay(socket, recording, speed)
    else:
        conductor = run_simulation(socket, registry, folder, speed)
    async with conductor as playing:
        say = print_demo_address if recording is None else print_line
        serving = asyncio.create_task(serve(settings, announce=say))
        await asyncio.wait({serving, *playing}, return_when=asyncio.FIRST_COMPLETED)
        for task in playing:
            if task.done():
                # The jobs run for ever: to end is to fail.
                serving.cancel()
                await asyncio.wait([serving])
                raise MarianneStreamError(f"the demo's jobs ended: {task.exception()}")
        return await serving


@asynccontextmanager
async def run_replay(path: Path, recording: Recording, speed: float) -> AsyncIterator[PlayerTasks]:
    """A conductor that says what one was recorded to say."""
    conductor = ReplayConductor(path, recording, speed=speed)
    await start_conductor(conductor, path)
    try:
        yield ()
    finally:
        await conductor.kill()


@asynccontextmanager
async def run_simulation(
    path: Path, registry: Path, folder: Path, speed: float
) -> AsyncIterator[PlayerTasks]:
    """A conductor whose jobs run in a loop, in a task of their own."""
    conductor = SimulatedConductor(path, registry=registry)
    await start_conductor(conductor, path)
    playing = asyncio.create_task(Scenario(conductor, folder, speed=speed).run())
    try:
        yield (playing,)
    finally:
        playing.cancel()
        await asyncio.wait([playing])
        await conductor.kill()


async def start_conductor(conductor: ReplayConductor | SimulatedConductor, path: Path) -> None:
    """Starts a conductor of our own.

    Raises:
        ListenError: it cannot listen at its path.
    """
    try:
        await conductor.start()
    except OSError as error:
        raise ListenError(f"the demo cannot listen at {path}: {error}") from error


def print_demo_address(line: str) -> None:
    """Prints the address, and what to do with it."""
    address = line.rpartition(" ")[2]
    print_line(line)
    print_line("Its jobs are invented, and run in a loop. Open it in a browser, or in a terminal:")
    print_line(f"  {PROGRAM} watch --url {address}")
    print_line(f"  curl -N {address}/api/jobs/tide-tables/stream")


def parse_speed(text: str) -> float:
    """A speed from the command line.

    Raises:
        SettingsError: it is not a number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise SettingsError(f"--speed must be a number above 0, got {text!r}")
    return value
