"""The page, its static files and the login form."""

import html
from importlib.resources import files

from aiohttp import web

from marianne_stream.web.auth_middleware import GRANT, AuthMiddleware
from marianne_stream.web.login_handlers import LoginPages
from marianne_stream.web.static_files import StaticFiles
from marianne_stream.web.templates import Templates

STATIC_DIR = files("marianne_stream.web") / "static"

SIGN_OUT_FORM = '<form method="post" action="{}/logout"><button>Sign out</button></form>'


class Frontend:
    """Handlers of the page and of the static files."""

    def __init__(
        self,
        auth: AuthMiddleware,
        templates: Templates,
        static: StaticFiles,
        *,
        root_path: str,
        sign_out_url: str,
    ) -> None:
        self._templates = templates
        self._static = static
        self._sign_out = "" if auth.authenticator is None else SIGN_OUT_FORM.format(root_path)
        # A link: the policy of the page allows no form that leads to another server.
        url = html.escape(sign_out_url)
        self._proxy_sign_out = f'<a class="quiet" href="{url}">Sign out</a>' if url else ""
        # A browser would find them one import after the other.
        self._preloads = "\n".join(
            f'<link rel="modulepreload" href="{path}">' for path in static.module_paths
        )

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes to a router."""
        router.add_get("/", self.app_shell)
        # The API decides whether the job exists and the client may see it.
        router.add_get("/jobs/{shown_job_id:[^/]+}", self.app_shell)
        router.add_get("/logs", self.app_shell)
        router.add_get("/static/{release:[0-9a-f]{16}}/{name:.+}", self._static.get)

    async def app_shell(self, request: web.Request) -> web.Response:
        """`GET /`, `/jobs/{job_id}` and `/logs`: the page; its script reads the path."""
        sign_out = self._proxy_sign_out if request[GRANT].user else self._sign_out
        trusted = {"sign_out": sign_out, "preloads": self._preloads}
        return self._templates.render("index.html", trusted=trusted)


def add_frontend(  # noqa: PLR0913
    app: web.Application,
    auth: AuthMiddleware,
    *,
    root_path: str,
    session_max_age_s: int,
    form_timeout_s: float,
    sign_out_url: str,
) -> None:
    """Add the routes of the page and of the login form.

    Args:
        app: the application.
        auth: checks tokens.
        root_path: path below which a proxy serves the server.
        session_max_age_s: time until a browser has to sign in again.
        form_timeout_s: time limit for the body of the form.
        sign_out_url: where users whom a proxy has signed in sign out; empty for no link.
    """
    static = StaticFiles(STATIC_DIR, root_path)
    templates = Templates(STATIC_DIR, root_path, static.root)
    login = LoginPages(auth, templates, max_age_s=session_max_age_s, form_timeout_s=form_timeout_s)
    login.add_routes(app.router)
    frontend = Frontend(auth, templates, static, root_path=root_path, sign_out_url=sign_out_url)
    frontend.add_routes(app.router)
