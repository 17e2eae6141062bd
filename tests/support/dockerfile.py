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
        commands: the words of ENTRYPOINT, CMD and HEALTHCHECK.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
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
    names = {"UID": str(os.getuid()), "GID": str(os.getgid())}
    for instruction, text in read_steps():
        match instruction:
            case "COPY" if not text.startswith("--from="):
                copy_sources(image, text)
            case "RUN":
                run_step(image, text, names)
            case "ENV":
                for word in shlex.split(image.here(text)):
                    name, _, value = word.partition("=")
                    image.environment[name] = value
            case "ENTRYPOINT" | "CMD":
                image.commands[instruction] = json.loads(text)
            case "HEALTHCHECK":
                image.commands[instruction] = json.loads(text.partition(" CMD ")[2])
    return image


def copy_sources(image: Image, text: str) -> None:
    """Copy files of the checkout, without those that Git or Docker ignores."""
    *sources, target = text.split()
    listed = subprocess.run(
        ["git", "ls-files", "-z", *sources],  # noqa: S607
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        # Of a directory, Docker copies the content; several sources keep their names.
        inside = name.removeprefix(f"{sources[0]}/") if len(sources) == 1 else name
        path = Path(image.here(target)) / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, path)


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
