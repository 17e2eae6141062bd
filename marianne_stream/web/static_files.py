"""Static files of the pages."""

import gzip
import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from importlib.resources.abc import Traversable

from aiohttp import ETag, hdrs, web

from marianne_stream.errors import MarianneStreamError
from marianne_stream.web.host_policy import PAGE_CONTENT_SECURITY_POLICY

# Templates, which are not served as static files.
TEMPLATE_SUFFIX = ".html"

# The address of a file changes with its content. A page that was loaded before an upgrade may still
# request the address of the earlier release, and gets the file of this one.
THIS_RELEASE = "public, max-age=31536000, immutable"
OTHER_RELEASE = "no-cache"

# Scripts that the page does not import: one runs before it, the other in its worker.
NOT_IMPORTED = frozenset({"js/apply_theme.js", "js/wire/worker.js"})


# Weight of a content coding that the client does not accept.
NOT_ACCEPTED = re.compile(r"\s*q=0(\.0*)?\s*")


class StaticFile:
    """Static file.

    Args:
        body: its content.
        content_type: its media type.
    """

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self.content_type = content_type
        # Weak: it is that of the compressed content, too (RFC 9110 section 8.8.1).
        self.etag = ETag(hashlib.sha256(body).hexdigest()[:32], is_weak=True)

    @cached_property
    def compressed_body(self) -> bytes:
        """The content as gzip, made when it is first requested."""
        return gzip.compress(self.body, mtime=0)


class StaticFiles:
    """All static files, read once at the start.

    Args:
        folder: directory of the files.
        root_path: path below which a proxy serves the server.

    Attributes:
        root: URL path of the directory, with a hash of its content.
        module_paths: URL paths of the modules that the page imports.
    """

    def __init__(self, folder: Traversable, root_path: str) -> None:
        self._files = dict(load_static_files(folder))
        etags = "".join(file.etag.value for _, file in sorted(self._files.items()))
        self._release = hashlib.sha256(etags.encode()).hexdigest()[:16]
        self.root = f"{root_path}/static/{self._release}"
        self.module_paths = [
            f"{self.root}/{name}"
            for name in sorted(self._files)
            if name.endswith(".js") and name not in NOT_IMPORTED
        ]

    async def get(self, request: web.Request) -> web.Response:
        """`GET /static/{release}/…`: a static file."""
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        is_current = request.match_info["release"] == self._release
        headers = {
            "Cache-Control": THIS_RELEASE if is_current else OTHER_RELEASE,
            "Content-Security-Policy": PAGE_CONTENT_SECURITY_POLICY,
            "Vary": "Accept-Encoding",
        }
        known = {etag.value for etag in request.if_none_match or ()}
        if found.etag.value in known:
            response = web.Response(status=304, headers=headers)
        else:
            body = found.body
            if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
                body = found.compressed_body
                headers["Content-Encoding"] = "gzip"
            response = web.Response(body=body, content_type=found.content_type, headers=headers)
            if found.content_type.startswith("text/"):
                response.charset = "utf-8"
        response.etag = found.etag
        return response


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a client accepts gzip (RFC 9110 section 12.5.3)."""
    for item in accept_encoding.lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() == "gzip":
            return NOT_ACCEPTED.fullmatch(weight) is None
    return False


def load_static_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, StaticFile]]:
    """Yield all files in a directory and below it, by their paths."""
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            yield from load_static_files(entry, f"{name}/")
        elif not name.endswith(TEMPLATE_SUFFIX):
            yield name, StaticFile(entry.read_bytes(), guess_content_type(name))


def guess_content_type(name: str) -> str:
    """Return the media type for a file name; raise MarianneStreamError if none is known.

    The system's own table of media types is not used.
    """
    content_type = CONTENT_TYPES.get(name.rpartition(".")[2])
    if content_type is None:
        raise MarianneStreamError(f"{name} in the pages' folder is of no kind that is served")
    return content_type


CONTENT_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
