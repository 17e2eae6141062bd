"""README's commands are complete, and `.ci/run` runs the tests with the same one."""

import re

from tests.support.processes import CHECKOUT

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def command(heading: str) -> str:
    """Return the first command below a heading."""
    below = README.partition(f"\n## {heading}\n")[2]
    match = re.search(r"```sh\n(.*)\n```", below)
    assert match is not None
    return match[1]


def test_ci_runs_the_test_command_of_readme() -> None:
    lines = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert command("Run the tests") in lines


def test_each_command_creates_its_own_environment() -> None:
    commands = [command("Try it"), command("Run the tests")]
    environments = [re.match(r"python3 -m venv (\S+) && ", each) for each in commands]
    assert all(environments)
    assert len({match[1] for match in environments if match}) == len(commands)
    assert commands[0].endswith("-m marianne_stream demo")
    assert commands[1].endswith("-m pytest -q -n auto")
