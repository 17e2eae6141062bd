"""The program accepts every `marianne-stream` command of the documentation."""

import re
import shlex

import pytest

from marianne_stream.cli.commands import COMMANDS, make_parser
from tests.support.processes import CHECKOUT

PAGES = [*sorted((CHECKOUT / "docs").rglob("*.md")), *sorted(CHECKOUT.glob("*.md"))]

BLOCK = re.compile(r"^ *```(?:sh|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^ *\$ ", re.MULTILINE)
# The program by name or path: first on a line, after variables, or in a substitution.
PROGRAM = re.compile(r"(?:^|\$ |\$\(|\w=\S+ )(?:\S*/)?marianne-stream(?= |\)|$)", re.MULTILINE)
PUNCTUATION = set("();<>|&")


def typed_lines(block: str) -> list[str]:
    """Return the lines to type: those with a prompt in a console, joined with continuations."""
    lines = block.replace("\\\n", " ").splitlines()
    return [line for line in lines if PROMPT.match(line)] if PROMPT.search(block) else lines


def arguments_after(text: str) -> tuple[str, ...]:
    """Return the arguments at the start of a text, up to the first character that ends them."""
    text = text.replace('${cursor:+--since-cursor "$cursor"}', "")
    words = shlex.shlex(text, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    found = []
    for word in words:
        if word and set(word) <= PUNCTUATION:
            break
        found.append(word)
    return tuple(found)


def commands() -> list[tuple[str, ...]]:
    """Return the arguments of each command of the documentation."""
    found = set()
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in typed_lines(block):
                found |= {arguments_after(line[at.end() :]) for at in PROGRAM.finditer(line)}
    return sorted(found)


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_command_of_the_documentation_is_accepted(arguments: tuple[str, ...]) -> None:
    verb = arguments[0] if arguments and arguments[0] in COMMANDS else "serve"
    rest = arguments[1:] if arguments[:1] == (verb,) else arguments
    assert make_parser(verb, COMMANDS[verb].load()).parse_args(rest)
