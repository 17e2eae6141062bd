"""Markdown of a workspace as an HTML fragment that loads nothing and runs nothing.

Raw HTML is shown as text. A relative link or an image is a `span` with its address in `data-href`:
a browser would resolve it against the address of the API.
"""

from functools import cache
from html import escape
from importlib import import_module
from time import thread_time
from typing import Any

from marianne_stream.errors import MarkdownTooComplexError

# 512 KiB of prose take half a second, the worst texts 15 s.
MAX_MARKDOWN_BYTES = 512 * 1024
MAX_PARSE_S = 0.7

EXTERNAL = ("http://", "https://", "mailto:")
NEW_WINDOW = {"target": "_blank", "rel": "noopener noreferrer nofollow"}


def render_markdown(text: str) -> str:
    """Return a Markdown text as an HTML fragment. Blocks for up to a second: call it in a thread.

    Raises:
        MarkdownTooComplexError: the text takes too long, or is larger than `MAX_MARKDOWN_BYTES`.
    """
    if len(text.encode(errors="replace")) > MAX_MARKDOWN_BYTES:
        raise MarkdownTooComplexError
    return str(_make_parser().render(text, {"deadline": thread_time() + MAX_PARSE_S}))


@cache
def _make_parser() -> Any:
    # Imported with the first text: most servers render none.
    parser = import_module("markdown_it").MarkdownIt("commonmark", {"html": False}).enable("table")
    blocks = ["paragraph", "reference", "blockquote", "list", "table"]
    parser.block.ruler.before("table", "deadline", _check_deadline, {"alt": blocks})
    parser.inline.ruler.before("text", "deadline", _check_deadline)
    parser.core.ruler.push("links", _replace_links)
    parser.add_render_rule("image", _render_image)
    return parser


def _check_deadline(state: Any, *_place: object) -> bool:
    """Raise an error if the time is over; as a rule of the parser, match nothing."""
    if thread_time() > state.env["deadline"]:
        raise MarkdownTooComplexError
    return False


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
