"""Authentication, host names, login and the limits for each client."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.web.app_keys import AUTHENTICATOR, DOWNLOAD_LIMITER, STREAM_REGISTRY
from marianne_stream.web.host_policy import parse_host_name
from marianne_stream.web.proxy_headers import parse_ip
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until
from tests.web.conftest import BEARER, NARROWED, WHOLE, Client, Start


async def read_error_code(response: aiohttp.ClientResponse) -> tuple[int, str]:
    return response.status, (await response.json())["code"]


@pytest.mark.parametrize("path", ["/api/jobs", "/ready", "/openapi.json", "/api/jobs/a", "/none"])
async def test_request_without_token_is_rejected(start: Start, path: str) -> None:
    client = await start()
    async with client.get(path) as response:
        assert await read_error_code(response) == (401, "unauthenticated")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    async with client.get(path, headers={"Authorization": f"Bearer {WHOLE}x"}) as response:
        assert await read_error_code(response) == (401, "invalid_token")
    async with client.get(path, headers={"Authorization": "Basic YTpi"}) as response:
        assert await read_error_code(response) == (401, "unauthenticated")


async def test_event_source_without_access_is_refused_for_good(start: Start) -> None:
    client = await start()
    async with client.get("/api/roster/stream", headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status == 401


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


async def test_public_paths_need_no_token(start: Start) -> None:
    client = await start(public_ready=True)
    for path in ("/health", "/ready", f"/static/{16 * '0'}/css/sign_in.css"):
        async with client.get(path) as response:
            assert response.status in (200, 503)


async def test_failed_logins_are_delayed_and_limited(start: Start) -> None:
    client = await start()
    wrong = {"Authorization": "Bearer wrong"}

    async def attempt() -> int:
        async with client.get("/ready", headers=wrong) as response:
            return response.status

    attempts = [asyncio.create_task(attempt()) for _ in range(25)]
    await wait_until(lambda: sum(task.done() and task.result() == 429 for task in attempts) == 5)
    # Who has a token is not locked out by others' attempts, not even at his first.
    async with client.get("/openapi.json", headers=BEARER) as response:
        assert response.status == 200
    assert (await post_login(client)).status == 303
    for task in attempts:
        task.cancel()
    await asyncio.wait(attempts)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8765", 200),
        ("a.localhost.", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8765", 200),
        ("watch.example.org", 200),
        ("a.below.example.org:443", 200),
        ("example.org", 421),
        ("attacker.example", 421),
        ("localhost.attacker.example", 421),
        ("below.example.org", 421),
        ("not a host", 421),
    ],
)
async def test_unknown_host_is_rejected(start: Start, host: str, status: int) -> None:
    client = await start(allowed_hosts=("watch.example.org", "*.below.example.org"))
    async with client.get("/health", headers={"Host": host}) as response:
        assert response.status == status


async def test_long_host_and_address_are_not_cached(start: Start) -> None:
    client = await start(trusted_proxies=("127.0.0.1",))
    before = parse_host_name.cache_info().currsize, parse_ip.cache_info().currsize
    for number in range(20):
        name = f"{number}".ljust(300, "a")
        headers = {"Host": f"{name}.localhost", "X-Forwarded-For": name}
        async with client.get("/health", headers=headers) as response:
            assert await read_error_code(response) == (421, "host_not_allowed")
    after = parse_host_name.cache_info().currsize, parse_ip.cache_info().currsize
    assert after[0] == before[0]
    # The client's own address.
    assert after[1] - before[1] <= 1


async def test_every_response_has_security_headers(
    start: Start, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    client = await start()
    paths = ("/api/jobs", "/health", "/none", "/login", "/api/roster/stream")
    for path in paths:
        async with client.get(path, headers=BEARER) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff", path
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_cors_allows_configured_origins_only(start: Start) -> None:
    client = await start(cors_origins=("https://grafana.example.org",))
    asks = {"Access-Control-Request-Method": "GET"}
    for origin, allowed in (("https://grafana.example.org", True), ("https://a.example", False)):
        head = {"Origin": origin}
        async with client.options("/api/jobs", headers={**asks, **head}) as response:
            assert (response.status == 204) == allowed
        async with client.get("/api/jobs", headers={**BEARER, **head}) as response:
            shown = response.headers.get("Access-Control-Allow-Origin")
            assert shown == (origin if allowed else None)
            assert "Access-Control-Allow-Credentials" not in response.headers
            assert "Origin" in response.headers["Vary"]


async def test_restricted_token_sees_only_its_jobs(
    start: Start, conductor: SimulatedConductor
) -> None:
    for name in ("nightly-1", "secret"):
        conductor.launch(name, 2)
    client = await start()
    async with client.get("/api/jobs", headers=NARROWED) as response:
        page = await response.json()
        assert ([job["job_id"] for job in page["jobs"]], page["total"]) == (["nightly-1"], 1)
    for path in ("", "/status", "/stream", "/events", "/logs", "/logs/raw", "/logs/lines"):
        async with client.get(f"/api/jobs/secret{path}", headers=NARROWED) as response:
            assert await read_error_code(response) == (404, "job_not_found")
    async with client.get("/api/jobs/nightly-1", headers=NARROWED) as response:
        assert response.status == 200


async def test_stream_of_restricted_token_has_only_its_jobs(
    start: Start, conductor: SimulatedConductor
) -> None:
    for name in ("nightly-1", "secret"):
        conductor.launch(name, 3)
    client = await start()
    session = aiohttp.ClientSession(headers=NARROWED)
    url = str(client.make_url("/api/roster/stream?poll_interval=0.1"))
    events = str(client.make_url("/api/events/stream"))
    async with session, open_viewer(session, url) as roster, open_viewer(session, events) as viewer:
        await roster.wait_for("roster")
        await wait_until(lambda: '"live":true' in viewer.raw.decode())
        for name in ("secret", "", "nightly-1"):
            conductor.emit(name, "sheet.said", {"text": f"of {name}"})
        conductor.complete_sheet("secret", 1)
        await asyncio.sleep(0.3)
        conductor.complete_sheet("nightly-1", 1)
        await roster.wait_for("roster", 2)
        await viewer.wait_for("sheet.said")
        assert b"secret" not in roster.raw + viewer.raw
        assert viewer.event_counts["sheet.said"] == 1


async def test_hooks_for_restricted_token_have_no_text(
    start: Start, conductor: SimulatedConductor
) -> None:
    conductor.launch("nightly-1", 1)
    checkpoint = conductor.jobs["nightly-1"].checkpoint
    assert checkpoint is not None
    hook = {
        "hook_type": "run_job",
        "success": False,
        "description": "Start secret",
        "error_message": "/srv/secret.yaml: exit 1",
        "chained_job_id": "secret",
    }
    checkpoint["hook_results"] = [hook]
    client = await start()
    for path in ("/api/jobs/nightly-1", "/api/jobs/nightly-1/status"):
        async with client.get(path, headers=BEARER) as response:
            assert (await response.json())["hooks"] == [hook]
        async with client.get(path, headers=NARROWED) as response:
            assert (await response.json())["hooks"] == [{"hook_type": "run_job", "success": False}]
    url = str(client.make_url("/api/jobs/nightly-1/stream"))
    for headers, is_shown in ((BEARER, True), (NARROWED, False)):
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            open_viewer(session, url) as viewer,
        ):
            await viewer.wait_for("job_sheets")
            assert (b"secret" in viewer.raw) == is_shown


async def test_removed_token_ends_its_streams(
    start: Start, conductor: SimulatedConductor, token_file: Path
) -> None:
    conductor.launch("nightly-1", 1)
    client = await start()
    url = str(client.make_url("/api/roster/stream"))
    async with (
        aiohttp.ClientSession(headers=NARROWED) as narrow,
        aiohttp.ClientSession(headers=BEARER) as whole,
        open_viewer(narrow, url) as ends,
        open_viewer(whole, url) as stays,
    ):
        await ends.wait_for("roster")
        await stays.wait_for("roster")
        token_file.write_text(f"{WHOLE}\n")
        authenticator = client.app[AUTHENTICATOR] if client.app is not None else None
        assert authenticator is not None
        authenticator.reload()
        await ends.wait_ended(timeout_s=5)
        assert not stays.has_ended
        async with narrow.get(url) as response:
            assert response.status == 401


async def test_revoked_stream_of_stalled_client_is_aborted(
    start: Start, conductor: SimulatedConductor, token_file: Path
) -> None:
    conductor.launch("nightly-1", 1)
    client = await start()
    app = client.app
    assert app is not None
    streams, authenticator = app[STREAM_REGISTRY], app[AUTHENTICATOR]
    assert authenticator is not None
    async with client.get("/api/events/stream", headers=NARROWED) as response:
        assert response.status == 200
        for _ in range(400):
            conductor.emit("nightly-1", "sheet.said", {"text": "x" * 50_000})
            await asyncio.sleep(0.001)
        await wait_until(lambda: any(stream.unsent_bytes for stream in streams))
        token_file.write_text(f"{WHOLE}\n")
        authenticator.reload()
        await wait_until(lambda: not len(streams), timeout_s=10)
        assert streams.statistics().closed["revoked"] == 1


async def post_login(client: Client, **headers: str) -> aiohttp.ClientResponse:
    origin = str(client.make_url("/")).rstrip("/")
    return await client.post(
        "/login",
        data={"token": WHOLE, "next": "/jobs/a"},
        headers={"Origin": origin, **headers},
        allow_redirects=False,
    )


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


def forwarded_for(address: str) -> dict[str, str]:
    """Return the headers of a request that a proxy passes on."""
    return {**BEARER, "X-Forwarded-For": f"203.0.113.9, {address}"}


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
async def test_stream_limit_counts_forwarded_address_of_trusted_proxy(
    start: Start, conductor: SimulatedConductor, trusted: tuple[str, ...]
) -> None:
    conductor.launch("a", 1)
    client = await start(max_streams_per_address=1, trusted_proxies=trusted)
    url = "/api/roster/stream"

    async with client.get(url, headers=forwarded_for("198.51.100.1")) as first:
        assert first.status == 200
        async with client.get(url, headers=forwarded_for("198.51.100.1")) as same:
            assert await read_error_code(same) == (429, "too_many_streams_per_client")
        async with client.get(url, headers=forwarded_for("198.51.100.2")) as other:
            assert other.status == (200 if trusted else 429)
        accepts = {**forwarded_for("198.51.100.1"), "Accept": "text/event-stream"}
        async with client.get(url, headers=accepts) as source:
            assert source.status == 200
            assert (await source.text()).startswith("retry: ")


async def test_downloads_are_limited_in_total(start: Start, log_path: Path) -> None:
    log_path.write_bytes(b"x" * 99 + b"\n" + b"y" * 30_000_000)
    client = await start(max_downloads=1)
    path = "/api/jobs/lantern/logs/raw"
    async with aiohttp.ClientSession(headers=NARROWED | BEARER, read_bufsize=1024) as session:
        async with session.get(client.make_url(path)) as first:
            assert first.status == 200
            async with session.get(client.make_url(path)) as second:
                assert await read_error_code(second) == (429, "too_many_downloads")
            await first.read()

        downloads = client.app[DOWNLOAD_LIMITER] if client.app is not None else None
        assert downloads is not None
        await wait_until(lambda: not len(downloads))


async def test_downloads_are_limited_per_client(start: Start, log_path: Path) -> None:
    log_path.write_bytes(b"x" * 99 + b"\n" + b"y" * 30_000_000)
    client = await start(max_downloads_per_address=1, trusted_proxies=("127.0.0.1",))
    url = client.make_url("/api/jobs/lantern/logs/raw")
    async with aiohttp.ClientSession(headers=NARROWED | BEARER, read_bufsize=1024) as session:
        async with session.get(url, headers=forwarded_for("198.51.100.1")) as first:
            assert first.status == 200
            async with session.get(url, headers=forwarded_for("198.51.100.1")) as same:
                assert await read_error_code(same) == (429, "too_many_downloads_per_client")
            async with session.get(url, headers=forwarded_for("198.51.100.2")) as other:
                assert other.status == 200
                await asyncio.gather(first.read(), other.read())
        async with session.get(url, headers=forwarded_for("198.51.100.1")) as again:
            assert again.status == 200
            await again.read()
