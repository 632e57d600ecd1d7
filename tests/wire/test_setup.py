"""What the real SDK sends for our settings: URL, credentials, and the exact set-up message."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth.exceptions import GoogleAuthError
from websockets.asyncio.server import ServerConnection, serve

from agent.emulator import Emulator, tls
from agent.errors import ConfigError, LiveLost, LiveRefused
from agent.live.client import live_client, no_token
from agent.live.config import LiveEndpoint, SessionSetup, connect_config, endpoint_of
from agent.live.endings import error_of
from agent.settings import Settings
from agent.tools.demo import WEATHER
from tests.support.service import emulator_endpoint

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
GEMINI = LiveEndpoint("test-key")
VERTEX = LiveEndpoint("express-key", vertex=True)


@dataclass
class Seen:
    """What a client said until it was told that its session is set up."""

    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    setup: dict[str, Any] = field(default_factory=dict)


class BareServer:
    """A Live server that confirms whatever it is asked for, and changes nothing in what it notes down."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[Seen] = []
        self.ca_file = str(folder / "cert.pem")
        self.url = ""

    async def answer(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        first = json.loads(await connection.recv())
        assert list(first) == ["setup"]
        self.seen.append(Seen(request.path, headers, first["setup"]))
        await connection.send(b'{"setupComplete": {}}')
        await connection.wait_closed()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    tls.write_certificate(folder)
    return folder


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[BareServer]:
    bare = BareServer(folder)
    async with serve(bare.answer, "127.0.0.1", 0, ssl=tls.server_context(folder), close_timeout=1) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        bare.url = f"https://127.0.0.1:{port}"
        yield bare


async def connected(
    server: BareServer,
    settings: Settings,
    endpoint: LiveEndpoint = GEMINI,
    declarations: Sequence[dict[str, Any]] = (),
    **config: Any,
) -> Seen:
    """Set one session up and close it; return what the server saw."""
    local = LiveEndpoint(endpoint.api_key, server.url, server.ca_file, vertex=endpoint.vertex)
    client = live_client(local, settings)
    setup = connect_config(SessionSetup.of(settings, declarations), **config)
    async with client.aio.live.connect(model=settings.model, config=setup):
        pass
    await client.aio.aclose()
    return server.seen[-1]


def speechless(**changes: Any) -> Settings:
    """Return settings without instruction and transcripts, so that the set-up is short."""
    quiet = {"system_instruction": "", "input_transcription": False, "output_transcription": False}
    return Settings(**{**quiet, **changes})


ALWAYS: dict[str, Any] = {
    "sessionResumption": {},
    "contextWindowCompression": {"trigger_tokens": 25_600, "sliding_window": {}},
}


def setup_with(generation: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    generation = {"responseModalities": ["AUDIO"], **(generation or {})}
    return {"model": "models/gemini-3.8-live", "generationConfig": generation, **ALWAYS, **parts}


def detection(**fields: Any) -> dict[str, Any]:
    return setup_with(realtimeInputConfig={"automatic_activity_detection": fields})


EXTENDED, NATIVE = "gemini-3.8-live-extended-thinking", "gemini-2.5-flash-native-audio-preview-12-2025"
WORDS = {"language_codes": ["de-DE", "en-GB"], "custom_vocabulary": ["talkspurt"], "word_timestamp": True}
VAD = ("start_of_speech_sensitivity", "end_of_speech_sensitivity", "prefix_padding_ms", "silence_duration_ms")


def preset(start: str, end: str, prefix_ms: int, silence_ms: int) -> dict[str, Any]:
    return detection(
        **dict(
            zip(VAD, (f"START_SENSITIVITY_{start}", f"END_SENSITIVITY_{end}", prefix_ms, silence_ms), strict=True)
        )
    )


def of_model(setup: dict[str, Any], model: str) -> dict[str, Any]:
    return {**setup, "model": f"models/{model}"}


OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, setup_with()),
    ({"system_instruction": "Hi."}, setup_with(systemInstruction={"parts": [{"text": "Hi."}], "role": "user"})),
    ({"temperature": 0.5}, setup_with({"temperature": 0.5})),
    ({"temperature": 0.0}, setup_with({"temperature": 0.0})),
    ({"top_p": 0.9}, setup_with({"topP": 0.9})),
    ({"top_k": 40}, setup_with({"topK": 40})),
    ({"max_output_tokens": 512}, setup_with({"maxOutputTokens": 512})),
    ({"presence_penalty": 0.5}, setup_with({"presence_penalty": 0.5})),
    ({"frequency_penalty": -0.5, "top_k": 3}, setup_with({"frequency_penalty": -0.5, "topK": 3})),
    ({"candidate_count": 1, "temperature": 0.1}, setup_with({"candidate_count": 1, "temperature": 0.1})),
    ({"seed": 7}, setup_with({"seed": 7})),
    (
        {"model": EXTENDED, "thinking_level": "low", "include_thoughts": True},
        of_model(setup_with({"thinkingConfig": {"include_thoughts": True, "thinking_level": "LOW"}}), EXTENDED),
    ),
    (
        {"model": NATIVE, "thinking_budget": 0},
        of_model(setup_with({"thinkingConfig": {"thinking_budget": 0}}), NATIVE),
    ),
    (  # neither a voice nor a transcript of one
        {"model": "offline-demo", "audio_output": False, "voice": "Kore", "output_transcription": True},
        of_model(setup_with({"responseModalities": ["TEXT"]}), "offline-demo"),
    ),
    (
        {"voice": "Kore"},
        setup_with({"speechConfig": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}}}),
    ),
    ({"language": "en-GB"}, setup_with({"speechConfig": {"language_code": "en-GB"}})),
    ({"vad": "high"}, preset("HIGH", "HIGH", 20, 300)),
    ({"vad": "medium"}, preset("HIGH", "LOW", 100, 600)),
    ({"vad": "low"}, preset("LOW", "LOW", 300, 1000)),
    ({"vad": "phone"}, preset("LOW", "HIGH", 100, 600)),
    ({"vad": "phone", "vad_silence_ms": 900, "vad_start_sensitivity": "high"}, preset("HIGH", "HIGH", 100, 900)),
    ({"vad": "low", "vad_prefix_ms": 0, "vad_end_sensitivity": "high"}, preset("LOW", "HIGH", 0, 1000)),
    ({"vad": "off"}, detection(disabled=True)),
    ({"vad_prefix_ms": 0}, detection(prefix_padding_ms=0)),
    ({"barge_in": False}, setup_with(realtimeInputConfig={"activity_handling": "NO_INTERRUPTION"})),
    (
        {"turn_coverage": "activity"},
        setup_with(realtimeInputConfig={"turn_coverage": "TURN_INCLUDES_ONLY_ACTIVITY"}),
    ),
    (
        {"turn_coverage": "all_input"},
        setup_with(realtimeInputConfig={"turn_coverage": "TURN_INCLUDES_ALL_INPUT"}),
    ),
    (
        {"turn_coverage": "activity_and_video"},
        setup_with(realtimeInputConfig={"turn_coverage": "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO"}),
    ),
    ({"input_transcription": True}, setup_with(inputAudioTranscription={})),
    ({"output_transcription": True}, setup_with(outputAudioTranscription={})),
    (
        {
            "input_transcription": True,
            "transcription_languages": ["de-DE", "en-GB"],
            "transcription_vocabulary": ["talkspurt"],
            "transcription_timestamps": True,
        },
        setup_with(inputAudioTranscription=WORDS),
    ),
    ({"proactive_audio": True}, setup_with()),  # this model always is
    (
        {"model": NATIVE, "proactive_audio": True},
        of_model(setup_with(proactivity={"proactive_audio": True}), NATIVE),
    ),
    (
        {"model": NATIVE, "proactive_audio": False},
        of_model(setup_with(proactivity={"proactive_audio": False}), NATIVE),
    ),
    ({"model": NATIVE, "affective_dialog": True}, of_model(setup_with({"enableAffectiveDialog": True}), NATIVE)),
    ({"media_resolution": "low"}, setup_with({"mediaResolution": "MEDIA_RESOLUTION_LOW"})),
    ({"search": True}, setup_with(tools=[{"googleSearch": {}}])),
    (
        {"model": "offline-demo", "code_execution": True},
        of_model(setup_with(tools=[{"codeExecution": {}}]), "offline-demo"),
    ),
    (
        {"compression_trigger_tokens": 25_000, "compression_target_tokens": 8_000},
        setup_with(contextWindowCompression={"trigger_tokens": 25_000, "sliding_window": {"target_tokens": 8_000}}),
    ),
    (  # this model refuses a null handle: it gets none
        {"model": "gemini-3.1-flash-live-preview"},
        of_model(setup_with(), "gemini-3.1-flash-live-preview"),
    ),
]


@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`:DeprecationWarning")
@pytest.mark.parametrize(("changes", "expected"), OPTIONS, ids=lambda value: "-".join(value))
async def test_a_setting_on_the_wire(changes: dict[str, Any], expected: dict[str, Any], server: BareServer) -> None:
    seen = await connected(server, speechless(**changes))
    assert seen.setup == expected


def test_every_setting_of_the_set_up_was_tried() -> None:
    tried = {name for changes, _ in OPTIONS for name in changes}
    first, last = "system_instruction", "media_resolution"
    names = list(Settings.model_fields)
    assert set(names[names.index(first) : names.index(last) + 1]) - tried == set()


@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`:DeprecationWarning")
async def test_the_emulator_takes_all_of_them_at_once(emulator: Emulator) -> None:
    changes = {name: value for one, _ in OPTIONS for name, value in one.items()}
    settings = Settings(**{**changes, "model": "offline-demo", "audio_output": True, "thinking_budget": None})
    client = live_client(emulator_endpoint(emulator), settings)
    setup = connect_config(SessionSetup.of(settings, [WEATHER.declaration()]), seeded=True)
    async with client.aio.live.connect(model=settings.model, config=setup):
        pass
    await client.aio.aclose()
    (record,) = emulator.sessions
    assert record.violations == []
    assert record.setup["contextWindowCompression"]["triggerTokens"] == 25_000
    assert record.setup["sessionResumption"] == {}


async def test_a_handle_on_the_wire(server: BareServer) -> None:
    seen = await connected(server, speechless(), handle="h1")
    assert seen.setup == setup_with(sessionResumption={"handle": "h1"})


async def test_a_history_is_announced_on_the_wire(server: BareServer) -> None:
    seen = await connected(server, speechless(), seeded=True)
    assert seen.setup == setup_with(historyConfig={"initial_history_in_client_content": True})


async def test_functions_stand_beside_the_built_in_tools(server: BareServer) -> None:
    seen = await connected(server, speechless(search=True), declarations=[WEATHER.declaration()])
    search, functions = seen.setup["tools"]
    assert search == {"googleSearch": {}}
    assert [function["name"] for function in functions["functionDeclarations"]] == ["get_weather"]


GEMINI_PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX_PATH = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"


async def test_the_gemini_api_is_shown_its_key_in_a_header(server: BareServer) -> None:
    settings = speechless(google_api_key="a-key")
    endpoint = endpoint_of(settings)
    assert endpoint is not None
    seen = await connected(server, settings, endpoint)
    assert (seen.path, seen.headers["x-goog-api-key"]) == (GEMINI_PATH, "a-key")
    assert "authorization" not in seen.headers


async def test_the_sdks_environment_does_not_turn_a_gemini_key_into_vertex(
    server: BareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "some-project")
    seen = await connected(server, speechless())
    assert (seen.path, seen.setup["model"]) == (GEMINI_PATH, "models/gemini-3.8-live")


async def test_vertex_in_express_mode(server: BareServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "some-project")  # a key needs none, and must not get one
    settings = speechless(vertex_api_key="express", google_api_key="of the other API", search=True)
    endpoint = endpoint_of(settings)
    assert endpoint is not None
    seen = await connected(server, settings, endpoint)
    assert (seen.path, seen.headers["x-goog-api-key"]) == (VERTEX_PATH, "express")
    assert seen.setup == {
        **setup_with(tools=[{"googleSearch": {}}]),
        "model": "publishers/google/models/gemini-3.8-live",
    }


async def test_vertex_is_reached_where_the_sdks_environment_says(
    server: BareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", server.url)
    monkeypatch.setenv("SSL_CERT_FILE", server.ca_file)
    client = live_client(VERTEX, Settings())
    async with client.aio.live.connect(model="m", config=connect_config(SessionSetup.of(Settings()))):
        pass
    await client.aio.aclose()
    assert server.seen[-1].path == VERTEX_PATH


async def test_the_version_of_the_api_can_be_chosen(server: BareServer) -> None:
    assert "v1alpha" in (await connected(server, speechless(api_version="v1alpha"))).path
    assert "v1alpha" in (await connected(server, speechless(api_version="v1alpha"), VERTEX)).path


class TokenServer:
    """Google's token endpoint: checks the service account's signature, then gives a token."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.status != 200:
            return web.json_response(
                {"error": "invalid_grant", "error_description": "No such account."}, status=400
            )
        signed, _, signature = str((await request.post())["assertion"]).rpartition(".")
        claims = signed.partition(".")[2]
        KEY.public_key().verify(_unpadded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        assert json.loads(_unpadded(claims))["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        return web.json_response({"access_token": "tok-1", "expires_in": 3600, "token_type": "Bearer"})


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture
async def tokens() -> AsyncIterator[TokenServer]:
    google = TokenServer()
    app = web.Application()
    app.router.add_post("/token", google.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    google.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    yield google
    await runner.cleanup()


def service_account(folder: Path, token_url: str) -> str:
    private = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    known = {
        "type": "service_account",
        "project_id": "own-project",
        "private_key_id": "1",
        "private_key": private.decode(),
        "client_email": "agent@own-project.iam.gserviceaccount.com",
        "token_uri": token_url,
    }
    path = folder / "account.json"
    path.write_text(json.dumps(known))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({}, "projects/own-project/locations/us-central1"),
        ({"vertex_project": "p", "vertex_location": "europe-west4"}, "projects/p/locations/europe-west4"),
    ],
)
async def test_vertex_with_a_service_account(
    changes: dict[str, Any], place: str, server: BareServer, tokens: TokenServer, tmp_path: Path
) -> None:
    settings = speechless(vertex_credentials_file=service_account(tmp_path, tokens.url), **changes)
    endpoint = endpoint_of(settings)
    assert endpoint is not None
    seen = await connected(server, settings, endpoint)
    assert (seen.path, seen.headers["authorization"]) == (VERTEX_PATH, "Bearer tok-1")
    assert "x-goog-api-key" not in seen.headers
    assert seen.setup == {**setup_with(), "model": f"{place}/publishers/google/models/gemini-3.8-live"}


async def test_an_account_that_google_does_not_know_is_the_operators_fault(
    server: BareServer, tokens: TokenServer, tmp_path: Path
) -> None:
    tokens.status = 400
    settings = speechless(vertex_credentials_file=service_account(tmp_path, tokens.url))
    with pytest.raises(GoogleAuthError) as caught:
        await connected(server, settings, LiveEndpoint(None, vertex=True))
    assert server.seen == []
    refused = error_of(no_token(caught.value))
    assert isinstance(refused, LiveRefused)
    assert refused.fault == "operator"
    assert "No such account" in refused.detail or "invalid_grant" in refused.detail


async def test_a_token_server_that_is_not_there_is_the_networks_fault(server: BareServer, tmp_path: Path) -> None:
    settings = speechless(vertex_credentials_file=service_account(tmp_path, "http://127.0.0.1:9/token"))
    with pytest.raises(GoogleAuthError) as caught:
        await connected(server, settings, LiveEndpoint(None, vertex=True))
    assert isinstance(error_of(no_token(caught.value)), LiveLost)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"type": "authorized_user", "private_key": "hunter2"}'])
def test_a_file_that_is_no_service_account_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"account\.json.*service account") as caught:
        live_client(LiveEndpoint(None, vertex=True), Settings(vertex_credentials_file=str(path)))
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.json.*No such file"):
        live_client(
            LiveEndpoint(None, vertex=True), Settings(vertex_credentials_file=str(tmp_path / "missing.json"))
        )
