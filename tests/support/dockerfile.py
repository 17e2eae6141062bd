"""The Dockerfile without Docker: its steps in a directory of this machine.

Not tested: the base image, and what only a container has (users, capabilities, a read-only root).
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from tests.support.processes import CHECKOUT

DOCKERFILE = CHECKOUT / "Dockerfile"
IGNORED = CHECKOUT / ".dockerignore"

# The paths of the image that its steps create.
IMAGE_PATHS = ("/src", "/opt/marianne-stream", "/var/lib/marianne-stream")


@dataclass(slots=True)
class Image:
    """What the steps of the Dockerfile have made.

    Attributes:
        folder: the directory that stands for the root of the image.
        environment: the variables of ENV, with the paths of this machine.
        user: the user and group of its processes.
        commands: the words of ENTRYPOINT, CMD and HEALTHCHECK.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    commands: dict[str, list[str]] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """Return a text with the paths of the image replaced by those of this machine."""
        for path in IMAGE_PATHS:
            text = re.sub(rf"(?<![\w/]){path}\b", f"{self.folder}{path}", text)
        return text

    def find_command(self, name: str) -> list[str]:
        """Return the words of a command; its program is one that the image has installed."""
        program, *arguments = self.commands[name]
        return [self.find_program(program), *arguments]

    def find_program(self, name: str) -> str:
        """Return the path of a program that the image finds by its PATH."""
        found = shutil.which(name, path=self.environment["PATH"])
        assert found is not None
        assert found.startswith(str(self.folder))
        return found


def read_steps() -> Iterator[tuple[str, str]]:
    """Yield the instructions of the Dockerfile and their arguments, each on one line."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line:
            instruction, _, arguments = line.partition(" ")
            yield instruction, " ".join(arguments.split())


def build_image(folder: Path) -> Image:
    """Run the steps of the Dockerfile below a directory, as the user who runs the tests."""
    image = Image(folder)
    given = {"UID": str(os.getuid()), "GID": str(os.getgid())}
    names: dict[str, str] = {}
    for instruction, text in read_steps():
        match instruction:
            case "FROM":
                # Arguments belong to the stage that declares them.
                names = {}
            case "ARG":
                names[text.partition("=")[0]] = given[text.partition("=")[0]]
            case "COPY" if not text.startswith("--from="):
                copy_sources(image, text)
            case "RUN":
                run_step(image, text, names)
            case "ENV":
                words = [word.partition("=") for word in shlex.split(image.here(text))]
                image.environment |= {name: value for name, _, value in words}
            case "USER":
                image.user = Template(text).substitute(names)
            case "ENTRYPOINT" | "CMD" | "HEALTHCHECK":
                # Options of the health check come first.
                image.commands[instruction] = json.loads(text[text.index("[") :])
    return image


def copy_sources(image: Image, text: str) -> None:
    """Copy files of the checkout without the compiled ones, which .dockerignore leaves out."""
    *names, target = text.split()
    place = Path(image.here(target))
    for name in names:
        source = CHECKOUT / name
        if source.is_dir():
            # Of a directory, Docker copies the content.
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, place, ignore=ignored, dirs_exist_ok=True)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)


def run_step(image: Image, text: str, names: dict[str, str]) -> None:
    """Run a shell command of the Dockerfile; the Python of the tests stands for the image's."""
    programs = image.folder / "programs"
    if not programs.exists():
        programs.mkdir()
        (programs / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    path = f"{programs}:{os.environ['PATH']}"
    (image.folder / "var" / "lib").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["sh", "-ec", image.here(text)],  # noqa: S607
        env={**os.environ, "PATH": path, **names},
        cwd=image.folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
