"""Users in headers of a proxy: whom the server trusts, and what the headers grant."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from pydantic import ValidationError

from marianne_stream.app import create_app
from marianne_stream.auth import authenticator
from marianne_stream.auth.login_throttle import LoginThrottle
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import SettingsError
from marianne_stream.web.sign_on_headers import MAX_JOBS_CHARS, MAX_USER_CHARS, SignOnHeaders
from tests.support.log_files import append_lines
from tests.support.log_lines import LOGS, expect_lines
from tests.support.sign_on import JOBS, PROXY_SECRET, SECRET, USER
from tests.support.viewers import open_viewer
from tests.web.conftest import BEARER, NARROW, NARROWED, Client, Start, post_login, read_error_code

ALICE = {USER: "alice@example.org", JOBS: "*"}

SIGN_ON: dict[str, object] = {"auth_user_header": USER, "auth_jobs_header": JOBS}

OpenUnix = Callable[..., AbstractAsyncContextManager[aiohttp.ClientSession]]


@pytest.fixture
def open_unix(
    settings: Settings, token_file: Path, tmp_path: Path, conductor: SimulatedConductor
) -> OpenUnix:
    """Return a function that serves two jobs on a Unix socket, and opens a session there."""

    @asynccontextmanager
    async def serve(**update: object) -> AsyncIterator[aiohttp.ClientSession]:
        for name in ("nightly-1", "secret"):
            conductor.launch(name, 2)
        guarded = {"no_auth": False, "token_file": token_file, "data_dir": tmp_path}
        app = create_app(settings.model_copy(update={**guarded, **SIGN_ON, **update}))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, str(tmp_path / "http.sock")).start()
        connector = aiohttp.UnixConnector(str(tmp_path / "http.sock"))
        try:
            async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
                yield session
        finally:
            await runner.cleanup()

    return serve


def write_secret(folder: Path, text: str = f"{PROXY_SECRET}\n") -> Path:
    path = folder / "proxy-secret"
    path.write_text(text)
    path.chmod(0o600)
    return path


def advance_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the clock by which grants expire."""
    now = time.monotonic() + seconds
    monkeypatch.setattr(authenticator, "time", SimpleNamespace(monotonic=lambda: now))


async def list_jobs(session: aiohttp.ClientSession | Client, headers: object) -> list[str] | int:
    """Return the names of the jobs that a request sees, or the status of its error."""
    async with session.get("/api/jobs", headers=headers) as response:  # type: ignore[arg-type]
        if response.status != 200:
            return response.status
        return sorted(job["job_id"] for job in (await response.json())["jobs"])


@pytest.mark.parametrize(
    ("jobs", "seen", "code"),
    [
        ("*", ["nightly-1", "secret"], "file_not_found"),
        ("nightly-*", ["nightly-1"], "file_forbidden"),
        ("nightly-*, weekly", ["nightly-1"], "file_forbidden"),
        ("none other", [], "job_not_found"),
        ("nightly-* rights=files", ["nightly-1"], "file_not_found"),
        ("* rights=none", ["nightly-1", "secret"], "file_forbidden"),
    ],
)
async def test_header_on_unix_socket_grants_its_jobs_and_rights(
    open_unix: OpenUnix, jobs: str, seen: list[str], code: str
) -> None:
    headers = {USER: "alice", JOBS: jobs}
    async with open_unix() as session:
        assert await list_jobs(session, headers) == seen
        async with session.get("/api/jobs/nightly-1/files/a", headers=headers) as response:
            assert (await response.json())["code"] == code


async def test_user_without_jobs_header_setting_sees_all_jobs(open_unix: OpenUnix) -> None:
    async with open_unix(auth_jobs_header=None) as session:
        assert await list_jobs(session, {USER: "alice"}) == ["nightly-1", "secret"]
        # A header that no setting names is not read.
        assert await list_jobs(session, {USER: "alice", JOBS: "none"}) == ["nightly-1", "secret"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(USER, ""), (JOBS, "*")], "invalid_user"),
        ([(USER, "a b"), (JOBS, "*")], "invalid_user"),
        ([(USER, "a\tb"), (JOBS, "*")], "invalid_user"),
        ([(USER, "a\u202eb"), (JOBS, "*")], "invalid_user"),
        ([(USER, "a" * (MAX_USER_CHARS + 1)), (JOBS, "*")], "invalid_user"),
        ([(USER, "alice"), (USER, "bob"), (JOBS, "*")], "invalid_user"),
        ([(USER, "alice"), (USER, "alice"), (JOBS, "*")], "invalid_user"),
        ([(USER, "alice")], "no_jobs"),
        ([(USER, "alice"), (JOBS, "")], "no_jobs"),
        ([(USER, "alice"), (JOBS, " , ")], "invalid_jobs"),
        ([(USER, "alice"), (JOBS, "rights=files")], "invalid_jobs"),
        ([(USER, "alice"), (JOBS, "* rights=all")], "invalid_jobs"),
        ([(USER, "alice"), (JOBS, "* rights=files rights=none")], "invalid_jobs"),
        ([(USER, "alice"), (JOBS, "* expires=2999-01-01")], "invalid_jobs"),
        ([(USER, "alice"), (JOBS, "a\tb")], "invalid_jobs"),
        ([(USER, "alice"), (JOBS, "nightly-*"), (JOBS, "*")], "invalid_jobs"),
        ([(USER, "alice"), (JOBS, "a" * (MAX_JOBS_CHARS + 1))], "invalid_jobs"),
    ],
)
async def test_invalid_header_of_a_trusted_proxy_is_refused(
    open_unix: OpenUnix,
    headers: list[tuple[str, str]],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_unix() as session:
        for path in ("/api/jobs", "/", "/login"):
            async with session.get(path, headers=CIMultiDict(headers)) as response:
                assert await read_error_code(response) == (403, "sign_on_refused")
        # A token does not help: the proxy is asked first.
        sent = CIMultiDict([*headers, *BEARER.items()])
        async with session.get("/api/jobs", headers=sent) as response:
            assert response.status == 403
    user = "" if reason == "invalid_user" else " user=alice"
    assert f"sign-on refused address=unix reason={reason}{user}" in caplog.messages


async def test_header_over_tcp_without_secret_setting_is_ignored(
    start: Start, conductor: SimulatedConductor, caplog: pytest.LogCaptureFixture
) -> None:
    conductor.launch("nightly-1", 1)
    client = await start(**SIGN_ON)
    async with client.get("/api/jobs", headers=ALICE) as response:
        assert await read_error_code(response) == (401, "unauthenticated")
    # A token counts as if there were no such header.
    assert await list_jobs(client, {**ALICE, **NARROWED}) == ["nightly-1"]
    async with client.get("/login", headers=ALICE) as response:
        assert 'name="token"' in await response.text()
    refusal = "sign-on headers ignored address=127.0.0.1 reason=not_unix_socket"
    assert caplog.messages.count(refusal) == 3


async def test_header_is_ignored_unless_a_setting_names_it(open_unix: OpenUnix) -> None:
    async with open_unix(auth_user_header=None, auth_jobs_header=None) as session:
        assert await list_jobs(session, ALICE) == 401


async def test_header_over_tcp_needs_the_secret(
    start: Start, conductor: SimulatedConductor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    conductor.launch("nightly-1", 1)
    client = await start(**SIGN_ON, auth_header_secret_file=write_secret(tmp_path))
    assert await list_jobs(client, {**ALICE, SECRET: PROXY_SECRET}) == ["nightly-1"]
    assert await list_jobs(client, ALICE) == 401
    for wrong in (f"{PROXY_SECRET}x", "", NARROW):
        assert await list_jobs(client, {**ALICE, SECRET: wrong}) == 401
    twice = CIMultiDict([*ALICE.items(), (SECRET, PROXY_SECRET), (SECRET, PROXY_SECRET)])
    assert await list_jobs(client, twice) == 401
    # The secret alone is no credential.
    assert await list_jobs(client, {SECRET: PROXY_SECRET}) == 401
    ignored = [text for text in caplog.messages if text.startswith("sign-on headers ignored")]
    assert [text.rpartition("=")[2] for text in ignored] == ["no_secret", *["wrong_secret"] * 4]
    assert PROXY_SECRET not in caplog.text


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/jobs", {}, 401),
        ("/", NARROWED, 200),
        ("/login", {}, 200),
        ("/", {"Accept": "text/html"}, 303),
    ],
)
async def test_wrong_secret_is_delayed_wherever_it_is_sent(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    path: str,
    headers: dict[str, str],
    status: int,
) -> None:
    delayed: list[str] = []

    async def record(_throttle: LoginThrottle, client_key: str) -> None:
        delayed.append(client_key)

    monkeypatch.setattr(LoginThrottle, "penalize", record)
    client = await start(**SIGN_ON, auth_header_secret_file=write_secret(tmp_path))
    right = {**ALICE, **headers, SECRET: PROXY_SECRET}
    async with client.get(path, headers=right, allow_redirects=False):
        assert delayed == []
    wrong = {**right, SECRET: f"{PROXY_SECRET}x"}
    async with client.get(path, headers=wrong, allow_redirects=False) as response:
        assert response.status == status
    assert delayed == ["127.0.0.1"]


async def test_secret_is_needed_on_the_unix_socket_too(open_unix: OpenUnix, tmp_path: Path) -> None:
    async with open_unix(auth_header_secret_file=write_secret(tmp_path)) as session:
        assert await list_jobs(session, ALICE) == 401
        assert await list_jobs(session, {**ALICE, SECRET: PROXY_SECRET}) == ["nightly-1", "secret"]


async def test_user_of_the_proxy_takes_precedence_over_token_and_session(
    open_unix: OpenUnix, start: Start
) -> None:
    narrow = {USER: "alice", JOBS: "nightly-*"}
    client = await start()
    cookie = next(iter((await post_login(client)).cookies.values())).value
    async with open_unix() as session:
        assert await list_jobs(session, {**narrow, **BEARER}) == ["nightly-1"]
        assert await list_jobs(session, {**narrow, "Authorization": "Bearer unknown"}) == [
            "nightly-1"
        ]
        browser = {"Cookie": f"marianne_stream_80={cookie}"}
        assert await list_jobs(session, browser) == ["nightly-1", "secret"]
        assert await list_jobs(session, {**narrow, **browser}) == ["nightly-1"]
        # Without a user, a token is asked for as ever.
        assert await list_jobs(session, NARROWED) == ["nightly-1"]
        assert await list_jobs(session, {JOBS: "*"}) == 401


@pytest.mark.parametrize("url", ["/oauth2/sign_out?rd=%2F&a=b", None])
async def test_page_of_a_proxys_user_has_no_form_of_its_own(
    open_unix: OpenUnix, url: str | None
) -> None:
    async with open_unix(auth_sign_out_url=url) as session:
        where = {"next": "/jobs/a"}
        async with session.get(
            "/login", params=where, headers=ALICE, allow_redirects=False
        ) as response:
            assert (response.status, response.headers["Location"]) == (303, "/jobs/a")
        async with session.get("/", headers=ALICE) as response:
            page = await response.text()
        assert "/logout" not in page
        assert ("Sign out" in page) == (url is not None)
        if url is not None:
            assert 'href="/oauth2/sign_out?rd=%2F&amp;a=b"' in page
        # With a token's session, the server's own form is there.
        async with session.get("/", headers=BEARER) as response:
            assert 'action="/logout"' in await response.text()


async def test_user_is_logged_when_seen_first(
    open_unix: OpenUnix, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with open_unix() as session:
        for user in ("alice", "zoë@example.org", "alice"):
            assert await list_jobs(session, {USER: user, JOBS: "*"}) == ["nightly-1", "secret"]
    entries = [text for text in caplog.messages if text.startswith("signed in")]
    assert entries == [
        "signed in address=unix user=alice method=proxy",
        "signed in address=unix user=zoë@example.org method=proxy",
    ]


async def test_stream_ends_at_the_maximum_age_and_resumes(
    open_unix: OpenUnix,
    log_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    append_lines(log_path, "one", "two")
    async with open_unix(auth_header_max_age_s=3600) as session:
        async with open_viewer(session, LOGS, headers=ALICE) as viewer:
            await expect_lines(viewer, "one", "two")
            advance_clock(monkeypatch, 3600)
            await viewer.wait_ended()
        append_lines(log_path, "three")
        seen = viewer.last_event_id
        async with open_viewer(session, LOGS, headers=ALICE, last_event_id=seen) as again:
            await expect_lines(again, "three")
            assert again.event_names == ["log"]
    assert any(
        text.startswith("stream closed reason=revoked") and text.endswith(" user=alice@example.org")
        for text in caplog.messages
    )


def test_streams_that_begin_together_end_at_different_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = SignOnHeaders(USER, jobs_header=None, secret=PROXY_SECRET, max_age_s=1000)
    request = make_mocked_request("GET", "/", headers={USER: "alice", SECRET: PROXY_SECRET})
    grants = [headers.authenticate(request) for _ in range(100)]
    advance_clock(monkeypatch, 950)
    assert {grant.is_valid for grant in grants if grant is not None} == {True, False}


@pytest.mark.parametrize(
    "values",
    [
        {"auth_jobs_header": JOBS},
        {"auth_sign_out_url": "/out"},
        {"auth_user_header": USER, "no_auth": True},
        {"auth_user_header": USER, "auth_jobs_header": USER.lower()},
        {"auth_user_header": "X_User"},
        {"auth_user_header": "Cookie"},
        {"auth_user_header": USER, "auth_jobs_header": "authorization"},
        {"auth_user_header": SECRET},
        {"auth_user_header": "host"},
        {"auth_user_header": USER, "auth_sign_out_url": "javascript:alert(1)"},
    ],
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(values)


@pytest.mark.parametrize("text", ["short", f"{PROXY_SECRET} {PROXY_SECRET}", ""])
def test_secret_that_is_not_like_a_token_is_refused(
    settings: Settings, tmp_path: Path, text: str
) -> None:
    path = write_secret(tmp_path, text)
    update = {**SIGN_ON, "auth_header_secret_file": path, "no_auth": False, "data_dir": tmp_path}
    with pytest.raises(SettingsError, match="must have a secret of the proxy"):
        create_app(settings.model_copy(update=update))
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="mode 0644"):
        create_app(settings.model_copy(update=update))
