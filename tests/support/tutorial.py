"""The tutorial's chapters: their commands, the output that they show, and their snippets."""

import re
from dataclasses import dataclass

from tests.support.processes import CHECKOUT

TEXT = (CHECKOUT / "docs" / "tutorial.md").read_text(encoding="utf-8")

# The demo's address, as the tutorial has it.
ADDRESS = "http://127.0.0.1:8765"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the tutorial.

    Attributes:
        line: the text to type.
        shown: the output that the page shows, empty if it shows none.
    """

    line: str
    shown: str


def chapters() -> dict[str, str]:
    """Return the text of each chapter by its heading."""
    parts = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def code_blocks(chapter: str, language: str) -> list[str]:
    """Return the code blocks of a chapter in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", chapters()[chapter], re.MULTILINE | re.DOTALL)


def commands(chapter: str) -> list[Command]:
    """Return the commands of a chapter, in order."""
    found = []
    for block in code_blocks(chapter, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            found.append(Command(line, shown))
    return found
