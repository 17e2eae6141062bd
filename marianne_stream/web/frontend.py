"""The pages for people, and the files that they are made of. It must not know what they show."""

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

# Pages that are filled in and answered at addresses of their own.
TEMPLATE_SUFFIX = ".html"

# Asked for again each time, and answered 304 while they stay the same: an upgrade is seen at once.
FILE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": PAGE_CONTENT_SECURITY_POLICY,
}

SIGN_OUT_FORM = '<form method="post" action="/logout"><button>Sign out</button></form>'


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the pages.

    Attributes:
        body: what it holds.
        content_type: what it is.
        etag: tells one content from another.
    """

    body: bytes
    content_type: str
    etag: ETag


class Templates:
    """The pages that are filled in: read once, at the start."""

    def __init__(self) -> None:
        self._texts = {
            entry.name: Template(entry.read_text(encoding="utf-8"))
            for entry in STATIC_DIR.iterdir()
            if entry.name.endswith(TEMPLATE_SUFFIX)
        }

    def render(
        self, name: str, *, status: int = 200, trusted: dict[str, str] | None = None, **values: str
    ) -> web.Response:
        """A page, with values in the places that it has for them.

        Args:
            name: the file.
            status: the answer's.
            trusted: values that are HTML.
            values: values that are text.
        """
        safe = {key: html.escape(value) for key, value in values.items()}
        return web.Response(
            text=self._texts[name].substitute(safe | (trusted or {})),
            status=status,
            content_type="text/html",
            headers={**NO_STORE, "Content-Security-Policy": PAGE_CONTENT_SECURITY_POLICY},
        )


class Frontend:
    """The page that shows jobs, and the files of all pages, which are read once.

    Args:
        auth: who is let in.
        templates: what the page is made of.
    """

    def __init__(self, auth: AuthMiddleware, templates: Templates) -> None:
        self._templates = templates
        self._sign_out_form = "" if auth.authenticator is None else SIGN_OUT_FORM
        self._files = dict(load_static_files(STATIC_DIR))
        # Pages of one release share a worker; those of another have their own.
        etags = "".join(file.etag.value for _, file in sorted(self._files.items()))
        self._content_hash = hashlib.sha256(etags.encode()).hexdigest()[:16]

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Puts the addresses into a router."""
        router.add_get("/", self.app_shell)
        # Whether there is such a job, and who may see it, its API says.
        router.add_get("/jobs/{shown_job_id:[^/]+}", self.app_shell)
        router.add_get("/static/{name:.+}", self.static_file)

    async def app_shell(self, _request: web.Request) -> web.Response:
        """`GET /` and `GET /jobs/{job_id}`: the page; which view it shows is for its address."""
        trusted = {"sign_out": self._sign_out_form}
        return self._templates.render("index.html", trusted=trusted, release=self._content_hash)

    async def static_file(self, request: web.Request) -> web.Response:
        """`GET /static/…`: a file of the pages."""
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        if request.if_none_match and found.etag in request.if_none_match:
            answer = web.Response(status=304, headers=FILE_HEADERS)
        else:
            answer = web.Response(
                body=found.body, content_type=found.content_type, headers=FILE_HEADERS
            )
            if found.content_type.startswith("text/"):
                answer.charset = "utf-8"
        answer.etag = found.etag
        return answer


def load_static_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, StaticFile]]:
    """All files in a folder and in those below it, by their paths."""
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            yield from load_static_files(entry, f"{name}/")
        elif not name.endswith(TEMPLATE_SUFFIX):
            body = entry.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:32]
            yield name, StaticFile(body, guess_content_type(name), ETag(digest))


def guess_content_type(name: str) -> str:
    """What a file is, by its name, whatever the system thinks of it.

    Raises:
        MarianneStreamError: it is none that a page is made of.
    """
    content_type = CONTENT_TYPES.get(name.rpartition(".")[2])
    if content_type is None:
        raise MarianneStreamError(f"{name} in the pages' folder is of no kind that is served")
    return content_type


CONTENT_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
