"""Pages and static files."""

import hashlib
import html
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template

from aiohttp import ETag, web

from marianne_stream.errors import MarianneStreamError
from marianne_stream.web.auth_middleware import AuthMiddleware
from marianne_stream.web.host_policy import PAGE_CONTENT_SECURITY_POLICY
from marianne_stream.web.responses import NO_STORE

STATIC_DIR = files("marianne_stream.web") / "static"

# Templates, which are not served as static files.
TEMPLATE_SUFFIX = ".html"

# Browsers revalidate on each use, so that an upgrade takes effect at once.
FILE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": PAGE_CONTENT_SECURITY_POLICY,
}

SIGN_OUT_FORM = '<form method="post" action="/logout"><button>Sign out</button></form>'


@dataclass(frozen=True, slots=True)
class StaticFile:
    """Static file."""

    body: bytes
    content_type: str
    etag: ETag


class Templates:
    """Templates of pages, read once at the start."""

    def __init__(self) -> None:
        self._texts = {
            entry.name: Template(entry.read_text(encoding="utf-8"))
            for entry in STATIC_DIR.iterdir()
            if entry.name.endswith(TEMPLATE_SUFFIX)
        }

    def render(
        self, name: str, *, status: int = 200, trusted: dict[str, str] | None = None, **values: str
    ) -> web.Response:
        """Return a page. The values in `trusted` are HTML; all others are text, and are escaped."""
        safe = {key: html.escape(value) for key, value in values.items()}
        return web.Response(
            text=self._texts[name].substitute(safe | (trusted or {})),
            status=status,
            content_type="text/html",
            headers={**NO_STORE, "Content-Security-Policy": PAGE_CONTENT_SECURITY_POLICY},
        )


class Frontend:
    """Handlers of the page and of its static files, which are read once at the start."""

    def __init__(self, auth: AuthMiddleware, templates: Templates) -> None:
        self._templates = templates
        self._sign_out_form = "" if auth.authenticator is None else SIGN_OUT_FORM
        self._files = dict(load_static_files(STATIC_DIR))
        # Pages of one release share a worker; another release has its own.
        etags = "".join(file.etag.value for _, file in sorted(self._files.items()))
        self._content_hash = hashlib.sha256(etags.encode()).hexdigest()[:16]

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes to a router."""
        router.add_get("/", self.app_shell)
        # The API decides whether the job exists and the client may see it.
        router.add_get("/jobs/{shown_job_id:[^/]+}", self.app_shell)
        router.add_get("/logs", self.app_shell)
        router.add_get("/static/{name:.+}", self.static_file)

    async def app_shell(self, _request: web.Request) -> web.Response:
        """`GET /`, `/jobs/{job_id}` and `/logs`: the page; its script reads the path."""
        trusted = {"sign_out": self._sign_out_form}
        return self._templates.render("index.html", trusted=trusted, release=self._content_hash)

    async def static_file(self, request: web.Request) -> web.Response:
        """`GET /static/…`: a static file."""
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        if request.if_none_match and found.etag in request.if_none_match:
            response = web.Response(status=304, headers=FILE_HEADERS)
        else:
            response = web.Response(
                body=found.body, content_type=found.content_type, headers=FILE_HEADERS
            )
            if found.content_type.startswith("text/"):
                response.charset = "utf-8"
        response.etag = found.etag
        return response


def load_static_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, StaticFile]]:
    """Yield all files in a directory and below it, by their paths."""
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            yield from load_static_files(entry, f"{name}/")
        elif not name.endswith(TEMPLATE_SUFFIX):
            body = entry.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:32]
            yield name, StaticFile(body, guess_content_type(name), ETag(digest))


def guess_content_type(name: str) -> str:
    """Return the media type for a file name; raise MarianneStreamError if none is known.

    The system's own table of media types is not used.
    """
    content_type = CONTENT_TYPES.get(name.rpartition(".")[2])
    if content_type is None:
        raise MarianneStreamError(f"{name} in the pages' folder is of no kind that is served")
    return content_type


CONTENT_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
