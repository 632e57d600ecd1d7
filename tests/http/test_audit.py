"""The audit log says who called and who was refused, and nothing else."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path

import aiohttp
import pytest

from agent.errors import ConfigError
from signaling.client.caller import call_service
from signaling.process.audit import MAX_FAILURES_PER_MINUTE, Audit, audit_to, logger
from signaling.process.seldom import MINUTE_S
from tests.support.service import ServiceFactory

KEY = "k" * 20


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    found = [record.getMessage() for record in caplog.records if record.name == "audit"]
    return [(line.partition(" ")[0], json.loads(line.partition(" ")[2])) for line in found]


async def test_calls_and_refusals_are_written(service: ServiceFactory, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    async with service(server_key=KEY) as url:
        wrong = {"Authorization": "Bearer wrong-secret"}
        async with aiohttp.ClientSession(url) as http, http.post("/whip", data="v=0", headers=wrong) as response:
            assert response.status == 401
        async with call_service(url, key=KEY) as caller:
            await caller.message("bot-ready")
            caller.type("my secret words")
            call_id = str(caller.location).rpartition("/")[2]
        path = f"/v1/realtime/calls/{call_id}"
    written = lines(caplog)
    kinds = [what for what, _ in written]
    assert kinds == ["request_refused", "call_started", "request_served", "request_served", "call_ended"]
    refused, started, served, hung_up, ended = (fields for _, fields in written)
    assert refused == {"method": "POST", "path": "/whip", "remote": "127.0.0.1", "status": 401}
    assert started == {"call": call_id}
    assert served == {"method": "POST", "path": "/whip", "remote": "127.0.0.1", "call": call_id}
    assert hung_up == {"method": "DELETE", "path": path, "remote": "127.0.0.1"}
    assert ended["reason"] == "hung_up"
    for secret in (KEY, "wrong-secret", "my secret words"):
        assert secret not in caplog.text


def test_guesses_do_not_fill_the_disk(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    now = 0.0
    audit = Audit(lambda: now)
    for _ in range(2 * MAX_FAILURES_PER_MINUTE):
        audit.note_failure("request_refused", path="/" + "x" * 10_000)
    now = MINUTE_S
    audit.note_failure("request_refused")
    written = lines(caplog)
    assert len(written) == MAX_FAILURES_PER_MINUTE + 1
    assert written[-1][1] == {"left_out": MAX_FAILURES_PER_MINUTE}
    assert len(str(written[0][1]["path"])) == 200


def test_a_file_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    path = tmp_path / "audit.jsonl"
    finish = audit_to(path)
    Audit().note("call_started", call="rtc_1", caller="+49\n30")
    finish()
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["message"] == r'call_started {"call": "rtc_1", "caller": "+49\n30"}'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert logger.propagate
    with pytest.raises(ConfigError, match="Is a directory"):
        audit_to(tmp_path)
