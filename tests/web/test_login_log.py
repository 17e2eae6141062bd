"""Limits of the log of sign-ins, per client and in total."""

import logging

import pytest

from marianne_stream.web import login_log
from marianne_stream.web.login_log import MAX_LINES_PER_CLIENT, LoginLog
from marianne_stream.web.proxy_headers import ClientInfo
from tests.support.waiting import wait_until
from tests.web.conftest import Start, post_login


def log_refusals(log: LoginLog, address: str, times: int) -> None:
    for _ in range(times):
        log.write("token refused", ClientInfo(address, secure=False), reason="unknown_token")


async def test_login_log_counts_suppressed_lines_each_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(login_log, "WINDOW_S", 0.2)
    log = LoginLog("refused", logging.WARNING)
    with caplog.at_level("INFO"):
        log_refusals(log, "192.0.2.1", MAX_LINES_PER_CLIENT + 5)
        # Addresses of one network of 64 bits count as one.
        log_refusals(log, "2001:db8::1", MAX_LINES_PER_CLIENT)
        log_refusals(log, "2001:db8::2", 1)
        assert len(caplog.messages) == 2 * MAX_LINES_PER_CLIENT
        await wait_until(lambda: "lines left out kind=refused count=6" in caplog.messages)
        log_refusals(log, "192.0.2.1", 1)
        assert caplog.messages[-1] == "token refused address=192.0.2.1 reason=unknown_token"


async def test_total_limit_of_refusals_hides_no_sign_in(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(login_log, "MAX_LINES", 3)
    client = await start(trusted_proxies=("127.0.0.1",))
    for number in range(5):
        headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": f"192.0.2.{number}"}
        async with client.get("/api/jobs", headers=headers) as response:
            assert response.status == 401
    with caplog.at_level("INFO", login_log.logger.name):
        assert (await post_login(client)).status == 303
    events = [
        record.message.partition(" address=")[0]
        for record in caplog.records
        if record.name == login_log.logger.name
    ]
    assert events == [*["token refused"] * 3, "signed in"]
