"""Pages of the documentation: headings, tables, links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

DOCS = ROOT / "docs"

REFERENCE = DOCS / "reference"

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)

LINK = re.compile(r"\[[^\]]*\]\(\s*([^)\s]+)\s*\)")


def read_page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """Return a page without its code blocks, whose lines are not headings or links."""
    return FENCE.sub("", text)


def section(path: Path, title: str) -> str:
    """Return the text below a heading, up to the next heading of its level or above."""
    text = read_page(path)
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"{path.name} has no heading {title!r}"
    level = len(found[1])
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{level}}} ", FENCE.sub(blank_match, rest), re.MULTILINE)
    return rest[: end.start()] if end else rest


def blank_match(match: re.Match[str]) -> str:
    """Return blanks for a match, so that positions stay the same."""
    return " " * len(match[0])


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables in a text: a list of rows without the head, each a list of cells."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[split_cells(line) for line in table.splitlines()[2:]] for table in found]


def split_cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows_below(text: str, head: str) -> list[list[str]]:
    """Return the rows of the tables whose first column has this head."""
    found = re.findall(rf"^\| {head} \|.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [split_cells(line) for table in found for line in table.splitlines()[1:]]


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables in a text."""
    return [cells for table in tables(text) for cells in table]


def first_cells(table: list[list[str]]) -> list[str]:
    """Return the names in the first cells of a table."""
    return [cells[0].strip("`") for cells in table]


def row(text: str, first: str) -> list[str]:
    """Return the row with this first cell."""
    found = [cells for cells in rows(text) if cells[0] == first]
    assert len(found) == 1, f"{len(found)} rows begin with {first}, expected one"
    return found[0]


def slug(heading: str) -> str:
    """Return the anchor of a heading on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
