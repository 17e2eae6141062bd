"""Server below a path of a real nginx, as docs/how-to/run-it-as-a-service.md describes."""

from pathlib import Path
from urllib.parse import quote

import pytest
from yarl import URL

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.nginx_server import SITE_NAME, run_below_path
from tests.support.processes import run_process
from tests.support.terminals import open_terminal, run_command
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

TOKEN = "whole-token-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

# Characters that nginx decodes and encodes again as it strips the path.
ODD_NAMES = ("a b", "50%", "ü", "a+b", 'q"?#', "a;b&c=d", "%2F", "\\", "a\nb", "a\n")

WITHOUT_TLS = ("ssl http2", "")


async def test_sign_in_streams_and_sign_out_through_the_proxy(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 3)
    async with run_below_path(tmp_path, TOKEN) as behind:
        session, address = behind.session, behind.address
        origin = {"Origin": address.removesuffix("/marianne")}
        async with session.get(f"{address}/jobs/a", headers={"Accept": "text/html"}) as page:
            assert page.url.path == "/marianne/login"
        form = {"token": TOKEN, "next": page.url.query["next"]}
        async with session.post(f"{address}/login", data=form, headers=origin) as page:
            assert (page.status, page.url.path) == (200, "/marianne/jobs/a")
        assert [cookie["path"] for cookie in session.cookie_jar] == ["/marianne"]
        part = f"{address}/api/stream?part=status:a"
        async with open_viewer(session, part) as viewer:
            await viewer.wait_for("job_sheets")
            conductor.complete_sheet("a", 1)
            await viewer.wait_for_status(completed_sheets=1)
        async with session.post(f"{address}/logout", headers=origin) as page:
            assert (page.status, page.url.path) == (200, "/marianne/login")
        assert list(session.cookie_jar) == []


@pytest.mark.parametrize("is_edge", [False, True])
async def test_odd_job_names_pass_the_proxy(
    tmp_path: Path, conductor: SimulatedConductor, *, is_edge: bool
) -> None:
    for name in ODD_NAMES:
        conductor.launch(name, 1)
    async with run_below_path(tmp_path, TOKEN, is_edge=is_edge) as behind:
        behind.session.headers.update(BEARER)
        for name in ODD_NAMES:
            url = URL(f"{behind.address}/api/jobs/{quote(name, safe='')}", encoded=True)
            async with behind.session.get(url) as response:
                assert (response.status, (await response.json())["job_id"]) == (200, name)


async def test_terminal_works_below_the_path(tmp_path: Path, conductor: SimulatedConductor) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "marianne.log").write_text("a line\n")
    conductor.launch("a b", 3, workspace=str(tmp_path / "ws"))
    async with run_below_path(tmp_path, TOKEN, WITHOUT_TLS) as behind:
        port = behind.address.partition(f"{SITE_NAME}:")[2]
        for url in (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/"):
            where = ("--url", url, "--token-file", tmp_path / "tokens")
            listed = await run_command(tmp_path, "jobs", *where)
            assert (listed.exit_code, listed.stderr) == (0, "")
            assert "a b" in listed.stdout
            logged = await run_command(tmp_path, "logs", "a b", *where)
            assert logged.lines == ["a line"]
        async with open_terminal(tmp_path, "watch", "a b", *where) as screen:
            await screen.wait_for_text("0/3")
            conductor.complete_sheet("a b", 1)
            await screen.wait_for_text("1/3")


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ((), "/marianne"),
        (
            ("--public-url", "https://here.example.org/marianne/"),
            "https://here.example.org/marianne",
        ),
    ],
)
async def test_login_link_leads_to_the_proxy(
    tmp_path: Path, options: tuple[str, ...], address: str
) -> None:
    arguments = (
        *("--port", 0, "--conductor-socket", tmp_path / "c.sock", "--data-dir", tmp_path),
        *("--root-path", "/marianne", *options),
    )
    async with run_process("-m", "marianne_stream", *arguments) as running:
        await wait_until(lambda: running.output)
        assert f" {address}/login?code=" in running.output
