"""Limits of the log of sign-ins, per client and in total."""

import logging

import pytest

from marianne_stream.web import login_log
from marianne_stream.web.login_log import MAX_LINES, MAX_LINES_PER_CLIENT, LoginLog
from marianne_stream.web.proxy_headers import ClientInfo
from tests.support.waiting import wait_until


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


async def test_login_log_total_limit_hides_no_sign_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = LoginLog("refused", logging.WARNING)
    with caplog.at_level("INFO"):
        for number in range(MAX_LINES + 50):
            log_refusals(log, f"10.0.{number // 256}.{number % 256}", 1)
        assert len(caplog.messages) == MAX_LINES
        accepted = LoginLog("accepted", logging.INFO)
        accepted.write("signed in", ClientInfo("192.0.2.1", secure=True), method="form")
        assert caplog.messages[-1] == "signed in address=192.0.2.1 method=form"
