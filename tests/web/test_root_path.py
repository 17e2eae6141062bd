"""Server below a path that a proxy strips: its links, redirects and cookies."""

import re

import aiohttp
import pytest
from yarl import URL

from tests.web.conftest import BEARER, WHOLE, Client, Start


async def sign_in(client: Client, where: str) -> aiohttp.ClientResponse:
    origin = str(client.make_url("/")).rstrip("/")
    return await client.post(
        "/login",
        data={"token": WHOLE, "next": where},
        headers={"Origin": origin},
        allow_redirects=False,
    )


async def test_redirects_and_cookie_have_the_path(start: Start) -> None:
    client = await start(root_path="/marianne")
    headers = {"Accept": "text/html"}
    async with client.get("/jobs/a?b=c", headers=headers, allow_redirects=False) as response:
        where = URL(response.headers["Location"])
        assert (where.path, where.query["next"]) == ("/marianne/login", "/marianne/jobs/a?b=c")
    response = await sign_in(client, where.query["next"])
    assert response.headers["Location"] == "/marianne/jobs/a?b=c"
    cookie = next(iter(response.cookies.values()))
    assert cookie["path"] == "/marianne"
    session = {"Cookie": f"{cookie.key}={cookie.value}"}
    async with client.get("/login", headers=session, allow_redirects=False) as response:
        assert response.headers["Location"] == "/marianne/"
    signing_out = {"Origin": str(client.make_url("/")).rstrip("/"), **session}
    async with client.post("/logout", headers=signing_out, allow_redirects=False) as response:
        assert response.headers["Location"] == "/marianne/login"
        ended = response.cookies[cookie.key]
        assert (ended["path"], ended["max-age"]) == ("/marianne", "0")
    async with client.get("/api/jobs", headers=session) as response:
        assert response.status == 401
        # An address at the root would be that of another service.
        assert "/" not in (await response.json())["detail"]


@pytest.mark.parametrize("path", ["/marianne", "/marianne/", "/marianne/login", "/marianne/jobs/a"])
async def test_request_with_the_path_is_not_found_with_the_reason(start: Start, path: str) -> None:
    client = await start(root_path="/marianne")
    detail = f"Received {path}: the proxy must strip /marianne, which is root_path."
    for headers in ({}, {"Accept": "text/html"}, BEARER):
        async with client.get(path, headers=headers, allow_redirects=False) as response:
            assert response.status == 404
            assert await response.json() == {"detail": detail, "code": "not_found"}


async def test_own_path_that_begins_with_root_path_is_redirected_to_login(start: Start) -> None:
    client = await start(root_path="/jobs")
    headers = {"Accept": "text/html"}
    async with client.get("/jobs/a", headers=headers, allow_redirects=False) as response:
        where = URL(response.headers["Location"])
        assert (where.path, where.query["next"]) == ("/jobs/login", "/jobs/jobs/a")


async def test_session_of_a_server_at_the_root_is_not_taken_for_that_below_a_path(
    start: Start,
) -> None:
    # Browsers send both cookies to the server below the path, that of the longer path first.
    client = await start(root_path="/marianne")
    own = next(iter((await sign_in(client, "")).cookies.values()))
    other = f"{own.key.removesuffix('+marianne')}=of-the-server-at-the-root"
    headers = {"Cookie": f"{own.key}={own.value}; {other}"}
    async with client.get("/openapi.json", headers=headers) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "where",
    [
        *("", "/", "/jobs/a", "/mariannex/", "//marianne/", "https://x/marianne/"),
        *("/marianne/../x", "/marianne/%2e%2e/x", "/marianne/\\..\\..\\x", "/marianne/a/../../x"),
    ],
)
async def test_login_redirects_to_paths_below_root_path_only(start: Start, where: str) -> None:
    client = await start(root_path="/marianne")
    response = await sign_in(client, where)
    location = response.headers["Location"]
    assert URL("http://x").join(URL(location)).path.startswith("/marianne/")
    assert "\\" not in location


async def test_every_link_of_the_pages_has_the_path(start: Start) -> None:
    client = await start(root_path="/marianne")
    async with client.get("/login") as response:
        form = await response.text()
    async with client.get("/", headers=BEARER) as response:
        page = await response.text()
    links = re.findall(r'(?:href|src|action)="([^"#]+)"', form + page)
    assert [link for link in links if not link.startswith("/marianne/")] == []
    assert {"/marianne/login", "/marianne/logout", "/marianne/"} <= set(links)
    for link in links:
        if "/static/" in link:
            async with client.get(link.removeprefix("/marianne")) as response:
                assert response.status == 200


async def test_openapi_document_names_the_path(start: Start) -> None:
    client = await start(root_path="/marianne")
    async with client.get("/openapi.json", headers=BEARER) as response:
        assert (await response.json())["servers"] == [{"url": "/marianne"}]
