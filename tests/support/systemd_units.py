"""What a unit of docs/examples has systemd do, done by hand: its command, credentials and state.

Left out is all that keeps the service from other things: only systemd can do that.
"""

import re
import shlex
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.support.processes import ManagedProcess, run_process


def parse_command(unit: str, prefix: str = "ExecStart=") -> list[str]:
    """The command on the line that begins so."""
    line = next(line for line in unit.splitlines() if line.startswith(prefix))
    return shlex.split(line.removeprefix(prefix))


def make_unit_environment(unit: str, folder: Path) -> dict[str, str]:
    """The environment of the service (systemd.exec(5)); its folders lie in the given one."""
    environment = {
        "CREDENTIALS_DIRECTORY": str(copy_credentials(unit, folder)),
        "STATE_DIRECTORY": str(folder / "state"),
    }
    for name, value in re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE):
        environment[name] = value.replace("%d", environment["CREDENTIALS_DIRECTORY"])
    return environment


def copy_credentials(unit: str, folder: Path) -> Path:
    """The folder with copies of the credentials, with the mode that newer releases give them."""
    (passed := folder / "credentials").mkdir(parents=True)
    for name, path in re.findall(r"^LoadCredential=(\S+?):(.*)$", unit, re.MULTILINE):
        (passed / name).write_bytes(Path(path).read_bytes())
        (passed / name).chmod(0o440)
    return passed


def run_unit(
    unit: str, folder: Path, **environment: str
) -> AbstractAsyncContextManager[ManagedProcess]:
    """What a unit runs, which is Python, for as long as the context lasts.

    Args:
        unit: its text, its placeholders filled.
        folder: where its state and its credentials are put; it is made.
        environment: what is added to the unit's.
    """
    given = {**make_unit_environment(unit, folder), **environment}
    return run_process(*parse_command(unit)[1:], pass_fds=(), **given)
