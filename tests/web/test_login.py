"""Login with a token in a browser, and its sessions."""

import asyncio

import aiohttp
import pytest
from yarl import URL

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until
from tests.web.conftest import BEARER, WHOLE, Start, post_login, read_error_code


async def test_browser_without_session_is_redirected_to_login(start: Start) -> None:
    client = await start()
    headers = {"Accept": "text/html,*/*"}
    async with client.get("/jobs/a?b=c", headers=headers, allow_redirects=False) as response:
        assert response.status == 303
        where = URL(response.headers["Location"])
        assert (where.path, where.query["next"]) == ("/login", "/jobs/a?b=c")
    async with client.get("/login") as response:
        assert 'name="token"' in await response.text()
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]


async def test_failed_logins_are_delayed_and_limited(start: Start) -> None:
    client = await start()
    wrong = {"Authorization": "Bearer wrong"}

    async def attempt() -> int:
        async with client.get("/ready", headers=wrong) as response:
            return response.status

    attempts = [asyncio.create_task(attempt()) for _ in range(25)]
    await wait_until(lambda: sum(task.done() and task.result() == 429 for task in attempts) == 5)
    # Failed attempts of others do not lock out a client with a token.
    async with client.get("/openapi.json", headers=BEARER) as response:
        assert response.status == 200
    assert (await post_login(client)).status == 303
    for task in attempts:
        task.cancel()
    await asyncio.wait(attempts)


async def test_browser_session_from_login_to_logout(
    start: Start, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    client = await start()
    response = await post_login(client)
    assert (response.status, response.headers["Location"]) == (303, "/jobs/a")
    cookie = next(iter(response.cookies.values()))
    assert cookie.key == f"marianne_stream_{client.port}"
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert int(cookie["max-age"]) == 7 * 24 * 3600
    assert not cookie["secure"]
    stolen = {"Cookie": f"{cookie.key}={cookie.value}"}
    url = client.make_url("/api/roster/stream")
    origin = str(client.make_url("/")).rstrip("/")
    async with aiohttp.ClientSession(headers=stolen) as session:
        async with session.get(client.make_url("/login")) as page:
            assert page.url.path == "/"
            assert "Sign out" in await page.text()
        async with open_viewer(session, str(url)) as viewer:
            await viewer.wait_for("roster")
            await client.post("/logout", headers={"Origin": origin, **stolen})
            await viewer.wait_ended(timeout_s=5)
        async with session.get(url) as response:
            assert response.status == 401


@pytest.mark.parametrize(
    "origin", [None, "null", "http://attacker.example", "https://{host}", "http://][@"]
)
async def test_cross_origin_form_is_rejected(start: Start, origin: str | None) -> None:
    client = await start()
    headers = {"Origin": origin.format(host=client.host)} if origin else {}
    for path in ("/login", "/logout"):
        async with client.post(path, data={"token": WHOLE}, headers=headers) as response:
            assert await read_error_code(response) == (403, "cross_origin")


async def test_login_with_invalid_token_shows_form_without_token(start: Start) -> None:
    client = await start()
    origin = str(client.make_url("/")).rstrip("/")
    data = {"token": "<wrong-token>", "next": '/a"b'}
    async with client.post("/login", data=data, headers={"Origin": origin}) as response:
        text = await response.text()
        assert response.status == 401
        assert "wrong-token" not in text
        assert "/a&quot;b" in text
    for kind, body in (
        ("application/json", "[]"),
        ("application/json", "{"),
        ("application/json", '{"token":1}'),
        ("application/json; charset=none", "{}"),
        ("application/x-www-form-urlencoded; charset=none", "token=a"),
    ):
        headers = {"Origin": origin, "Content-Type": kind}
        async with client.post("/login", data=body, headers=headers) as response:
            assert await read_error_code(response) == (400, "bad_request")
    async with client.post(
        "/login", data={"token": "x" * 100_000}, headers={"Origin": origin}
    ) as response:
        assert response.status == 413


@pytest.mark.parametrize("where", ["//attacker.example", "/\\attacker", "https://a", "javascript:"])
async def test_login_redirects_to_own_paths_only(start: Start, where: str) -> None:
    client = await start()
    origin = str(client.make_url("/")).rstrip("/")
    async with client.post(
        "/login",
        data={"token": WHOLE, "next": where},
        headers={"Origin": origin},
        allow_redirects=False,
    ) as response:
        assert response.headers["Location"] == "/"


async def test_session_cookie_behind_trusted_proxy_is_secure(start: Start) -> None:
    client = await start(trusted_proxies=("127.0.0.0/8",), allowed_hosts=("watch.example.org",))
    headers = {
        "Host": "watch.example.org",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "198.51.100.7",
    }
    response = await post_login(client, Origin="https://watch.example.org", **headers)
    cookie = next(iter(response.cookies.values()))
    assert cookie.key == "marianne_stream_443"
    assert cookie["secure"]
