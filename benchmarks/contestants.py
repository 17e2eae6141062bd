"""One event to many viewers: this server and others under the same load."""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.processes import MeasuredProcess, run_python, run_reader, run_server, wait_all_read
from marianne_stream.demo.simulated_conductor import SimulatedConductor

# The content of an event, besides its mark.
PADDING = "x" * 250

NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

Publish = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server under test.

    Attributes:
        process: its process.
        address: host and port.
        path: the path that viewers request.
        publish: sends an event to all viewers.
    """

    process: MeasuredProcess
    address: str
    path: str
    publish: Publish


@asynccontextmanager
async def run_marianne(folder: Path, *options: object) -> AsyncIterator[Contestant]:
    """Run this project's server, which gets events from its conductor."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()

    async def publish(text: str) -> None:
        conductor.emit("a", "sheet.said", {"text": text})

    try:
        conductor.launch("a", 1)
        async with run_server(folder, *options) as running:
            await asyncio.sleep(0.5)
            yield Contestant(running, running.address, "/api/events/stream?limit=0", publish)
    finally:
        await conductor.kill()


@asynccontextmanager
async def run_peer(script: str) -> AsyncIterator[Contestant]:
    """Run a script of `peers`, which reads events from its standard input."""
    async with run_python("-m", f"benchmarks.peers.{script}") as running:

        async def publish(text: str) -> None:
            if running.process.stdin is not None:
                running.process.stdin.write(f"{text}\n".encode())

        yield Contestant(running, running.address, "/", publish)


@asynccontextmanager
async def run_nchan(folder: Path) -> AsyncIterator[Contestant]:
    """Run nginx with nchan with one worker, which is measured."""
    port = 18090
    (folder / "nginx.conf").write_text(
        NGINX_CONFIG.format(folder=folder, module=NCHAN_MODULE, port=port)
    )
    process = await asyncio.create_subprocess_exec(
        *("nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log", "-p", folder),
        stdout=asyncio.subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            await wait_listening(session, address)
        # Pipelined: the publisher does not wait for responses, so that it is not the bottleneck.
        answers, requests = await asyncio.open_connection("127.0.0.1", port)
        reading = asyncio.create_task(answers.read())

        async def publish(text: str) -> None:
            head = f"POST /pub HTTP/1.1\r\nHost: a\r\nContent-Length: {len(text)}\r\n\r\n"
            requests.write(f"{head}{text}".encode())

        worker = MeasuredProcess(process, 0.0, "", pid=find_worker_pid(process))
        yield Contestant(worker, address, "/sub", publish)
        requests.close()
        reading.cancel()
    finally:
        process.terminate()
        await process.wait()


NGINX_CONFIG = """
load_module {module};
daemon off;
user root;
pid {folder}/nginx.pid;
worker_processes 1;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/b;
    proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    nchan_shared_memory_size 256M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        keepalive_requests 1000000;
        location /pub {{ nchan_publisher; nchan_channel_id a; nchan_message_buffer_length 10000; }}
        location /sub {{
            nchan_subscriber eventsource;
            nchan_channel_id a;
            nchan_subscriber_first_message newest;
            nchan_eventsource_ping_interval 0;
        }}
    }}
}}
"""


def has_nchan() -> bool:
    """Return whether nginx with nchan is installed."""
    return shutil.which("nginx") is not None and NCHAN_MODULE.exists()


async def wait_listening(session: aiohttp.ClientSession, address: str) -> None:
    """Wait until the port accepts connections."""
    for _ in range(200):
        try:
            async with session.get(address) as answer:
                await answer.read()
        except aiohttp.ClientError:
            await asyncio.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nobody listens at {address}")


async def run_load(
    contestant: Contestant,
    viewer_count: int,
    events_per_s: int,
    duration_s: float,
) -> dict[str, float]:
    """Run a load of viewers and events; return deliveries, latencies and cost."""
    before_kib = contestant.process.memory_kib()
    async with run_reader(contestant.address, contestant.path, viewer_count, timeout_s=60) as seen:
        await asyncio.sleep(1.0)
        held_kib = contestant.process.memory_kib() - before_kib
        first = await seen.request("report")
        cpu_s, began = contestant.process.cpu_s(), time.monotonic()
        count = int(events_per_s * duration_s)
        for number in range(1, count + 1):
            await contestant.publish(f"<{number}@{time.monotonic():.6f}>{PADDING}")
            await asyncio.sleep(max(0.0, began + number / events_per_s - time.monotonic()))
        report = await wait_all_read(seen)
        cpu_s = contestant.process.cpu_s() - cpu_s
        return {
            "deliveries_s": report["events"] / report["seconds"],
            "p50_ms": report["p50_ms"],
            "p99_ms": report["p99_ms"],
            "lost": count * viewer_count - report["events"] + report["faults"],
            "cpu_us": 1e6 * cpu_s / max(1.0, report["events"]),
            "reader_us": 1e6 * (report["cpu_s"] - first["cpu_s"]) / max(1.0, report["events"]),
            "arrival_s": first["arrival_s"],
            "kib_a_viewer": held_kib / viewer_count,
        }


def find_worker_pid(process: asyncio.subprocess.Process) -> int:
    """Return the only child of a process."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(children.read_text(encoding="ascii").split()[0])


def print_figures(name: str, figures: dict[str, float]) -> None:
    """Print the figures of one contestant."""
    shown = "  ".join(f"{figure} {value:,.1f}" for figure, value in figures.items())
    sys.stdout.write(f"{name:18} {shown}\n")
    sys.stdout.flush()
