"""`demo`: the server, with a simulated conductor of its own."""

import asyncio
import math
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from marianne_stream.commands.settings_options import add_settings, announce, settings_from
from marianne_stream.commands.verbs import PROGRAM
from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay import Replay
from marianne_stream.demo.scenario import Scenario
from marianne_stream.errors import MarianneStreamError, SettingsError
from marianne_stream.listening import ListenError
from marianne_stream.log_output import configure_logging
from marianne_stream.serve import serve
from marianne_stream.settings import Settings

EXAMPLES = f"""\
Examples:
  {PROGRAM} demo
  {PROGRAM} demo --speed 10 --port 9000
"""

# The tasks that a demo's conductor needs besides itself.
Playing = tuple[asyncio.Task[None], ...]


def describe(parser: ArgumentParser) -> None:
    """Gives a parser the demo's own options, and a few settings."""
    parser.description = "Serves a simulated conductor, whose jobs run in a loop; none is needed."
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("--replay", metavar="FILE", type=Path, help="Plays a recording instead.")
    parser.add_argument(
        "--speed",
        metavar="N",
        type=speed,
        default=1.0,
        help="How many times as fast as life (a number above 0; default: 1.0).",
    )
    add_settings(parser, ("host", "port", "log_level", "log_format"))


def run(options: Namespace) -> int:
    """Serves until SIGTERM or SIGINT."""
    given = vars(options)
    replay, times = given.pop("replay"), given.pop("speed")
    # Where the environment says that state is to be read is not for the demo.
    # What is invented needs no token, and is for this machine alone.
    settings = settings_from({**given, "state_backend": "auto", "no_auth": True})
    recording = Recording.load(replay) if replay is not None else None
    configure_logging(settings.log_level, settings.log_format)
    with TemporaryDirectory(prefix="marianne-demo-") as folder:
        return asyncio.run(demonstrate(settings, Path(folder), recording, times))


async def demonstrate(
    settings: Settings, folder: Path, recording: Recording | None, times: float
) -> int:
    """Serves a simulated conductor that lives in a folder, until the server ends."""
    socket, registry = folder / "conductor.sock", folder / "daemon-state.db"
    # The Unix socket that the environment may name is a service's.
    place = {"conductor_socket": socket, "registry_path": registry, "uds": None}
    settings = settings.model_copy(update=place)
    if recording is not None:
        conductor = replayed(socket, recording, times)
    else:
        conductor = simulated(socket, registry, folder, times)
    async with conductor as playing:
        say = announce_demo if recording is None else announce
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
async def replayed(path: Path, recording: Recording, times: float) -> AsyncIterator[Playing]:
    """A conductor that says what one was recorded to say."""
    conductor = Replay(path, recording, speed=times)
    await start(conductor, path)
    try:
        yield ()
    finally:
        await conductor.kill()


@asynccontextmanager
async def simulated(
    path: Path, registry: Path, folder: Path, times: float
) -> AsyncIterator[Playing]:
    """A conductor whose jobs run in a loop, in a task of their own."""
    conductor = SimulatedConductor(path, registry=registry)
    await start(conductor, path)
    playing = asyncio.create_task(Scenario(conductor, folder, speed=times).run())
    try:
        yield (playing,)
    finally:
        playing.cancel()
        await asyncio.wait([playing])
        await conductor.kill()


async def start(conductor: Replay | SimulatedConductor, path: Path) -> None:
    """Starts a conductor of our own.

    Raises:
        ListenError: it cannot listen at its path.
    """
    try:
        await conductor.start()
    except OSError as error:
        raise ListenError(f"the demo cannot listen at {path}: {error}") from error


def announce_demo(line: str) -> None:
    """Prints the address, and what to do with it."""
    address = line.rpartition(" ")[2]
    announce(line)
    announce("Its jobs are invented, and run in a loop. Open it in a browser, or in a terminal:")
    announce(f"  {PROGRAM} watch --url {address}")
    announce(f"  curl -N {address}/api/jobs/tide-tables/stream")


def speed(text: str) -> float:
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
