"""Names and docstrings of the package."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "marianne_stream"
MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}

# Words that begin a relative clause or an aphorism instead of a description.
FORBIDDEN_OPENERS = (
    "(?:Who|What|Where|Whose|Which|How|When|Whether|That|Those|One|So|Nothing|Nobody|Of|By)\\b"
)

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def type_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names of the classes of a module, and of its type aliases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        is_alias = not (isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar")
        # Names of constants are in capitals.
        if is_alias and isinstance(target, ast.Name) and re.match("[A-Z]+[a-z]", target.id):
            yield target.id


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstring_begins_with_a_verb_or_noun(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        if isinstance(node, Documented):
            docstring = ast.get_docstring(node) or ""
            assert not re.match(FORBIDDEN_OPENERS, docstring), docstring.partition("\n")[0]


def test_page_comment_begins_with_a_verb_or_noun() -> None:
    opener = re.compile(rf"/\*+[\s*]*{FORBIDDEN_OPENERS}")
    for path in [*PACKAGE.rglob("*.js"), *PACKAGE.rglob("*.css")]:
        assert opener.findall(path.read_text(encoding="utf-8")) == [], path


# A comment, or a text that may be shown.
JAVASCRIPT_PART = re.compile(
    r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\\n])*`""", re.DOTALL
)

SERVERS_OWN_WORDS = re.compile(
    r"\b(?:backend|checkpoint|cursor|edge|feed|hub|origin|partial|registry|relay|roster|snapshot|"
    r"watcher)s?\b",
    re.IGNORECASE,
)


def test_page_says_no_words_of_the_servers_own() -> None:
    for path in PACKAGE.rglob("*.js"):
        parts = JAVASCRIPT_PART.findall(path.read_text(encoding="utf-8"))
        # What is inserted into a text is code. Texts of one word are names.
        texts = [re.sub(r"\$\{[^}]*\}", "", part) for part in parts if part[0] in '"`']
        shown = [text for text in texts if " " in text.strip('"` ')]
        assert [text for text in shown if SERVERS_OWN_WORDS.search(text)] == [], path


def test_type_name_is_defined_once() -> None:
    counts = Counter(name for tree in TREES.values() for name in type_names(tree))
    assert [name for name, count in counts.items() if count > 1] == []


def test_module_name_is_used_once() -> None:
    counts = Counter(path.stem for path in MODULES if not path.stem.startswith("__"))
    assert [name for name, count in counts.items() if count > 1] == []


def test_function_name_does_not_end_in_of() -> None:
    names = {
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert [name for name in names if name.endswith("_of")] == []
