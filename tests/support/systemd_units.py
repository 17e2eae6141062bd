"""Run a unit of docs/examples without systemd: its command, credentials and state.

Isolation of the service is left out: only systemd provides it.
"""

import re
import shlex
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.support.processes import ManagedProcess, run_process


def parse_command(unit: str, prefix: str = "ExecStart=") -> list[str]:
    """Return the command of the line with this key."""
    line = next(line for line in unit.splitlines() if line.startswith(prefix))
    return shlex.split(line.removeprefix(prefix))


def make_unit_environment(unit: str, folder: Path) -> dict[str, str]:
    """Return the service's environment (systemd.exec(5)), with its directories in `folder`."""
    environment = {
        "CREDENTIALS_DIRECTORY": str(copy_credentials(unit, folder)),
        "STATE_DIRECTORY": str(folder / "state"),
    }
    for name, value in re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE):
        environment[name] = value.replace("%d", environment["CREDENTIALS_DIRECTORY"])
    return environment


def copy_credentials(unit: str, folder: Path) -> Path:
    """Copy the credentials with the mode that newer releases of systemd set."""
    (passed := folder / "credentials").mkdir(parents=True)
    for name, path in re.findall(r"^LoadCredential=(\S+?):(.*)$", unit, re.MULTILINE):
        (passed / name).write_bytes(Path(path).read_bytes())
        (passed / name).chmod(0o440)
    return passed


def run_unit(
    unit: str, folder: Path, **environment: str
) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run the Python command of a unit.

    Args:
        unit: text of the unit with its placeholders filled.
        folder: directory for its state and credentials; it is created.
        environment: additions to the unit's environment.
    """
    given = {**make_unit_environment(unit, folder), **environment}
    return run_process(*parse_command(unit)[1:], pass_fds=(), **given)
