"""The service as a process of its own, pointed at another Live server by the SDK's environment variables."""

from __future__ import annotations

from agent.emulator import Emulator
from signaling.client.caller import call_service
from tests.support.process import serving


async def test_googles_own_environment_is_honoured(emulator: Emulator) -> None:
    """With a key the service talks to whatever GOOGLE_GEMINI_BASE_URL names, and trusts SSL_CERT_FILE."""
    environment = {
        "GOOGLE_API_KEY": "some-key-of-a-test",
        "GOOGLE_GEMINI_BASE_URL": emulator.url,
        "SSL_CERT_FILE": str(emulator.ca_file),
        "TALKSPURT_MODEL": "gemini-of-a-test",
        "TALKSPURT_VOICE": "Kore",
        "TALKSPURT_LANGUAGE": "en-GB",
    }
    async with serving("--port", "0", **environment) as service, call_service(service.url) as caller:
        ready = await caller.message("bot-ready")
        assert ready["about"]["model"] == "gemini-of-a-test"
        assert ready["about"]["offline_demo"] is False
        caller.type("what is one plus one")
        await caller.message("bot-started-speaking")
        (session,) = emulator.sessions
        assert session.path.startswith("/ws/google.ai.generativelanguage.v1beta.")
        speech = session.setup["generationConfig"]["speechConfig"]
        assert speech["languageCode"] == "en-GB"
        assert speech["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "Kore"
        assert session.setup["generationConfig"]["responseModalities"] == ["AUDIO"]
    assert not any("local emulator" in line for line in service.log)
    assert not any("some-key" in line for line in service.log)


async def test_offline_the_demo_writes_if_it_is_told_to() -> None:
    """Without a key the rules of the model that would answer with one are no obstacle, and no secret."""
    async with (
        serving("--port", "0", "--text-output", "--code-execution") as service,
        call_service(service.url) as caller,
    ):
        await caller.message("bot-ready")
        caller.type("what is twelve plus thirty")
        said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        assert "42" in said["text"]
        assert not any(message["type"] == "bot-started-speaking" for message in caller.messages)
    warnings = [line.partition(": ")[2] for line in service.log if " WARNING " in line]
    for flag in ("--text-output", "--code-execution"):
        assert any(line.startswith(f"flag {flag}: the offline demo takes it, but gemini-") for line in warnings)


async def test_an_untrusted_certificate_is_named(emulator: Emulator) -> None:
    """The call ends and says what was wrong."""
    environment = {"GOOGLE_API_KEY": "some-key", "GOOGLE_GEMINI_BASE_URL": emulator.url}
    async with (
        serving("--port", "0", **environment) as service,
        call_service(service.url, hang_up=False) as caller,
    ):
        farewell = await caller.message("server-message", lambda data: data["type"] == "call-ended")
        assert farewell["fault"] in ("network", "operator")
        assert "certificate" in farewell["detail"].lower()
