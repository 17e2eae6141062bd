"""Pages of the documentation link to existing targets."""

import re
from pathlib import Path

import pytest

from tests.support.markdown import DOCS, HEADING, LINK, ROOT, read_page, slug, without_code

PAGES = sorted(DOCS.rglob("*.md"))

BENCHMARKS = ROOT / "benchmarks"

EXPLANATIONS = sorted((DOCS / "explanation").rglob("*.md"))

LINKED_PAGES = [*PAGES, *sorted(ROOT.glob("*.md")), BENCHMARKS / "README.md"]


@pytest.mark.parametrize("page", LINKED_PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_has_a_target(page: Path) -> None:
    for target in LINK.findall(without_code(read_page(page))):
        if re.match(r"https?:", target) and page not in PAGES:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert path.is_file(), f"{target} leads nowhere"
        if anchor:
            headings = HEADING.findall(without_code(read_page(path)))
            assert anchor in {slug(heading) for _, heading in headings}, f"{target} has no heading"


def test_every_page_is_reachable_from_the_index() -> None:
    index = DOCS / "index.md"
    targets = {
        (DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(read_page(index))
    }
    assert set(PAGES) - targets == {index}


@pytest.mark.parametrize("page", [DOCS / "performance.md", BENCHMARKS / "README.md"])
def test_benchmarks_named_in_pages_exist(page: Path) -> None:
    cases = set()
    for module in BENCHMARKS.glob("*.py"):
        cases |= set(re.findall(r"^async def (\w+)\(", read_page(module), re.MULTILINE))
    commands = re.findall(r"python -m benchmarks((?: [a-z_]+)*)", read_page(page))
    named = {case for command in commands for case in command.split()}
    assert named
    assert named <= cases


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_pages_name_no_local_directories(page: Path) -> None:
    folders = re.findall(r"(?<![\w.~}])/(?:work|home|root|opt|srv|tmp)/[\w./-]*", read_page(page))
    assert set(folders) <= {"/tmp/marianne.sock"}


@pytest.mark.parametrize("page", EXPLANATIONS, ids=lambda path: str(path.relative_to(DOCS)))
def test_modules_named_in_explanations_exist(page: Path) -> None:
    names = re.findall(r"`([\w/]+(?:/|\.py))`", read_page(page))
    roots = (ROOT / "marianne_stream", ROOT)
    assert [name for name in names if not any((root / name).exists() for root in roots)] == []
