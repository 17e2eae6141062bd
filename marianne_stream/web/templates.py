"""Templates of the pages."""

import html
from importlib.resources.abc import Traversable
from string import Template

from aiohttp import web

from marianne_stream.web.host_policy import PAGE_CONTENT_SECURITY_POLICY
from marianne_stream.web.responses import NO_STORE
from marianne_stream.web.static_files import TEMPLATE_SUFFIX


class Templates:
    """Templates of pages, read once at the start.

    Args:
        folder: directory of the templates.
        root_path: path below which a proxy serves the server.
        static_root: URL path of the static files.
    """

    def __init__(self, folder: Traversable, root_path: str, static_root: str) -> None:
        self._roots = {"root": root_path, "static": static_root}
        self._texts = {
            entry.name: Template(entry.read_text(encoding="utf-8"))
            for entry in folder.iterdir()
            if entry.name.endswith(TEMPLATE_SUFFIX)
        }

    def render(
        self, name: str, *, status: int = 200, trusted: dict[str, str] | None = None, **values: str
    ) -> web.Response:
        """Return a page. The values in `trusted` are HTML; all others are text, and are escaped."""
        safe = {key: html.escape(value) for key, value in values.items()} | self._roots
        return web.Response(
            text=self._texts[name].substitute(safe | (trusted or {})),
            status=status,
            content_type="text/html",
            headers={**NO_STORE, "Content-Security-Policy": PAGE_CONTENT_SECURITY_POLICY},
        )
