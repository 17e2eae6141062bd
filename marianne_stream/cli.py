"""The command line: the verbs, their options, and what they print."""

import argparse
import asyncio
import math
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from marianne_stream.access.places import token_place
from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay import Replay
from marianne_stream.demo.scenario import Scenario
from marianne_stream.errors import MarianneStreamError, SettingsError
from marianne_stream.listening import ListenError
from marianne_stream.log_output import configure_log
from marianne_stream.serve import serve
from marianne_stream.settings import (
    ENVIRONMENT_PREFIX,
    Settings,
    allowed,
    default_text,
    load,
    option,
)
from marianne_stream.version import VERSION

PROGRAM = "marianne-stream"

# The tasks that a demo's conductor needs besides itself.
Playing = tuple[asyncio.Task[None], ...]


EPILOG = f"""Settings are also read from the environment ({ENVIRONMENT_PREFIX}PORT and so on)
and from the file that --config names; the command line wins over both, the environment over the
file.
Other verbs: demo, which needs no conductor, and token, which prints what is asked for
(see demo --help, token --help)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb, `serve` where none is named.

    Args:
        argv: the arguments behind the program's name; this process's own where they are left out.

    Returns:
        The exit code: 0, 1 for what cannot be done, 2 for what cannot be understood.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments.pop(0) if arguments and arguments[0] in VERBS else "serve"
    try:
        return VERBS[verb](arguments)
    except SettingsError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    except MarianneStreamError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1


def serve_verb(arguments: Sequence[str]) -> int:
    """`serve`: the server, until it is asked to end."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Streams the jobs of a Marianne conductor as Server-Sent Events.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION}")
    add_settings(parser, Settings.model_fields)
    # Until it is listened to, it would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    options = vars(parser.parse_args(arguments))
    settings = settings_from(options)
    configure_log(settings.log_level, settings.log_format)
    return asyncio.run(serve(settings, announce=announce, reread=lambda: settings_from(options)))


def token_verb(arguments: Sequence[str]) -> int:
    """`token`: prints the token that `serve` asks for; makes one where there is none yet."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} token",
        description="Prints the token that the server asks for; the first for all jobs.",
        epilog=f'Example: curl -H "Authorization: Bearer $({PROGRAM} token)" '
        "http://127.0.0.1:8765/api/jobs",
    )
    add_settings(parser, ("token_file", "private_dir"))
    settings = settings_from(vars(parser.parse_args(arguments)))
    place = token_place(settings.token_file, settings.private_dir)
    token = place.first()
    if token is None:
        raise SettingsError(f"{place.path} has no token for all jobs")
    print(token)
    return 0


def announce(line: str) -> None:
    """Prints a line at once, for whoever waits for it."""
    print(line, flush=True)


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Gives a parser an option for each of the named settings, and `--config`."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="A TOML file of settings.")
    for name in names:
        field = Settings.model_fields[name]
        default = default_text(name)
        common: dict[str, Any] = {
            "dest": name,
            "default": argparse.SUPPRESS,
            "help": f"{field.description} ({allowed(name)}; default: {default})".replace("%", "%%"),
        }
        if field.annotation is bool:
            parser.add_argument(option(name), action=argparse.BooleanOptionalAction, **common)
        else:
            parser.add_argument(option(name), metavar=name.upper(), **common)


def settings_from(arguments: dict[str, Any]) -> Settings:
    """The settings that parsed arguments give, `config` among them."""
    return load(
        {name: value for name, value in arguments.items() if name != "config"}, arguments["config"]
    )


def demo_verb(arguments: Sequence[str]) -> int:
    """`demo`: the server, with a simulated conductor of its own."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} demo",
        description="Serves a simulated conductor, whose jobs run in a loop; none is needed.",
    )
    parser.add_argument("--replay", metavar="FILE", type=Path, help="Plays a recording instead.")
    parser.add_argument(
        "--speed",
        metavar="N",
        type=speed,
        default=1.0,
        help="How many times as fast as life (a number above 0; default: 1.0).",
    )
    add_settings(parser, ("host", "port", "log_level", "log_format"))
    options = vars(parser.parse_args(arguments))
    replay, times = options.pop("replay"), options.pop("speed")
    # Where the environment says that state is to be read is not for the demo.
    # What is invented needs no token, and is for this machine alone.
    settings = settings_from({**options, "state": "auto", "insecure": True})
    recording = Recording.load(replay) if replay is not None else None
    configure_log(settings.log_level, settings.log_format)
    with TemporaryDirectory(prefix="marianne-demo-") as folder:
        return asyncio.run(demonstrate(settings, Path(folder), recording, times))


async def demonstrate(
    settings: Settings, folder: Path, recording: Recording | None, times: float
) -> int:
    """Serves a simulated conductor that lives in a folder, until the server ends."""
    place = {"socket": folder / "conductor.sock", "registry": folder / "daemon-state.db"}
    settings = settings.model_copy(update=place)
    if recording is not None:
        conductor = replayed(settings.socket, recording, times)
    else:
        conductor = simulated(settings.socket, settings.registry, folder, times)
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
    announce("Its jobs are invented, and run in a loop. Look at them with, for example:")
    announce(f"  curl -N {address}/api/roster/stream")
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


VERBS = {"serve": serve_verb, "demo": demo_verb, "token": token_verb}
