"""Markdown of a workspace as an HTML fragment that loads nothing and runs nothing.

Raw HTML is shown as text. A relative link or an image is a `span` with its address in `data-href`:
a browser would resolve it against the address of the API.

A small text can take the parser minutes and gigabytes, and hold all other threads meanwhile. So a
process of its own renders it, within limits of time and memory: this module is its program.
"""

import contextlib
import os
import resource
import subprocess
import sys
from functools import cache
from html import escape
from importlib import import_module
from typing import Any

from marianne_stream.errors import MarkdownTooComplexError

MAX_MARKDOWN_BYTES = 512 * 1024
MAX_HTML_BYTES = 8 * 1024 * 1024

# Limits of the process. 512 KiB of prose take it half a second.
RENDER_TIMEOUT_S = 4.0
MAX_CPU_S = 2
MAX_MEMORY_BYTES = 512 * 1024 * 1024
NICENESS = 10

EXTERNAL = ("http://", "https://", "mailto:")
NEW_WINDOW = {"target": "_blank", "rel": "noopener noreferrer nofollow"}


def render_in_process(source: bytes, *, timeout_s: float = RENDER_TIMEOUT_S) -> bytes:
    """Return a Markdown text as an HTML fragment, both in UTF-8. Blocks.

    Raises:
        MarkdownTooComplexError: the text takes more time or memory than a request may, or is
            larger than `MAX_MARKDOWN_BYTES`.
    """
    if len(source) > MAX_MARKDOWN_BYTES:
        raise MarkdownTooComplexError
    # It needs none of this process's environment, which may hold passwords.
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", __name__]
    try:
        ended = subprocess.run(  # noqa: S603 - this module
            command,
            input=source,
            capture_output=True,
            timeout=timeout_s,
            env=environment,
            check=True,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise MarkdownTooComplexError(f"Markdown not rendered: {error}") from error
    return ended.stdout


def main() -> int:
    """Render the text on standard input; return 1 if its HTML is too large."""
    limits = ((resource.RLIMIT_CPU, MAX_CPU_S), (resource.RLIMIT_AS, MAX_MEMORY_BYTES))
    for kind, limit in limits:
        # A lower limit may be set already.
        with contextlib.suppress(ValueError):
            resource.setrlimit(kind, (limit, limit))
    os.nice(NICENESS)
    html = render_markdown(sys.stdin.buffer.read().decode("utf-8-sig", "replace")).encode()
    if len(html) > MAX_HTML_BYTES:
        return 1
    sys.stdout.buffer.write(html)
    return 0


def render_markdown(text: str) -> str:
    """Return a Markdown text as an HTML fragment, however long that takes."""
    return str(_make_parser().render(text))


@cache
def _make_parser() -> Any:
    # Imported with the first text: most servers render none.
    parser = import_module("markdown_it").MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.core.ruler.push("links", _replace_links)
    parser.add_render_rule("image", _render_image)
    return parser


def _replace_links(state: Any) -> None:
    for cell in (block for block in state.tokens if "style" in block.attrs):
        # The page allows no inline styles.
        cell.attrs = {"align": cell.attrs["style"].removeprefix("text-align:")}
    tag = "a"
    for token in (child for block in state.tokens for child in block.children or ()):
        if token.type == "link_open":
            address = token.attrs["href"]
            is_external = address.lower().startswith(EXTERNAL)
            tag = "a" if is_external else "span"
            token.attrs = {"href": address, **NEW_WINDOW} if is_external else _make_data(address)
        if token.type.startswith("link_"):
            token.tag = tag


def _render_image(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """Show the alternative text of an image, with its address if it is in the workspace."""
    token = tokens[index]
    text = renderer.renderInlineAsText(token.children, options, env)
    token.attrs = _make_data(token.attrs["src"])
    return f"<span{renderer.renderAttrs(token)}>{escape(text or 'Image')}</span>"


def _make_data(address: str) -> dict[str, str]:
    has_scheme = ":" in address.partition("/")[0]
    is_relative = not has_scheme and not address.startswith(("/", "#", "?"))
    return {"data-href": address} if address and is_relative else {}


if __name__ == "__main__":
    sys.exit(main())
