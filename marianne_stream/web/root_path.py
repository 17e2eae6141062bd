"""Path below which a proxy serves this server, and which it strips from requests."""

from aiohttp import web

# "" without such a proxy. It is not in app_keys, which imports the users of this module.
ROOT_PATH = web.AppKey("ROOT_PATH", str)


def external_path(request: web.Request, path: str) -> str:
    """Return a path of this server as clients of the proxy request it."""
    return request.app[ROOT_PATH] + path


def is_root_path_kept(request: web.Request) -> bool:
    """Return whether a request has no route because the proxy has not stripped the path."""
    root_path = request.app[ROOT_PATH]
    is_below = bool(root_path) and f"{request.path}/".startswith(f"{root_path}/")
    return is_below and isinstance(request.match_info.http_exception, web.HTTPNotFound)
