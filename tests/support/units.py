"""What a unit of docs/examples has systemd do, done by hand: its command, credentials and state.

Left out is all that keeps the service from other things: only systemd can do that.
"""

import re
import shlex
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.support.processes import Process, process


def command_of(unit: str, beginning: str = "ExecStart=") -> list[str]:
    """The command on the line that begins so."""
    line = next(line for line in unit.splitlines() if line.startswith(beginning))
    return shlex.split(line.removeprefix(beginning))


def environment_of(unit: str, folder: Path) -> dict[str, str]:
    """The environment of the service (systemd.exec(5)); its folders lie in the given one."""
    environment = {
        "CREDENTIALS_DIRECTORY": str(passed_credentials(unit, folder)),
        "STATE_DIRECTORY": str(folder / "state"),
    }
    for name, value in re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE):
        environment[name] = value.replace("%d", environment["CREDENTIALS_DIRECTORY"])
    return environment


def passed_credentials(unit: str, folder: Path) -> Path:
    """The folder with copies of the credentials, with the mode that newer releases give them."""
    (passed := folder / "credentials").mkdir(parents=True)
    for name, path in re.findall(r"^LoadCredential=(\S+?):(.*)$", unit, re.MULTILINE):
        (passed / name).write_bytes(Path(path).read_bytes())
        (passed / name).chmod(0o440)
    return passed


def service(unit: str, folder: Path, **environment: str) -> AbstractAsyncContextManager[Process]:
    """What a unit runs, which is Python, for as long as the context lasts.

    Args:
        unit: its text, its placeholders filled.
        folder: where its state and its credentials are put; it is made.
        environment: what is added to the unit's.
    """
    given = {**environment_of(unit, folder), **environment}
    return process(*command_of(unit)[1:], pass_fds=(), **given)
