"""Settings: lines of talkspurt.toml, and of the environment if they begin with ``$``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from unittest.mock import patch

from agent.errors import ConfigError
from agent.settings import ENV_PREFIX, TOML_FILE, Settings, load_settings, unknown_variables
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target


@contextmanager
def fresh() -> Iterator[Take]:
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        yield take


def take(data: bytes) -> object:
    lines = data.split(b"\n")
    Path(TOML_FILE).write_bytes(b"\n".join(line for line in lines if not line.startswith(b"$")))
    variables = dict[bytes, bytes]()
    for line in lines:
        variable, _, value = line.removeprefix(b"$").replace(b"\0", b"").partition(b"=")
        if line.startswith(b"$") and variable and len(variables) < 50:
            variables[ENV_PREFIX.encode() + variable] = value
    with patch.dict(os.environ, {os.fsdecode(each): os.fsdecode(value) for each, value in variables.items()}):
        assert all(len(each) < 1 << 17 for each in unknown_variables())
        settings = load_settings()
    for name in settings.model_fields_set:
        settings.stated(name)
    return frozenset(settings.model_fields_set)


def files() -> list[Pieces]:
    toml = [
        *(b"# mine", b"port = 8080", b'host = "127.0.0.1"', b"cors_origins = [", b'  "https://a.example",', b"]"),
        *(b"temperature = 0.5", b"video_fps = 1", b"barge_in = false", b'system_instruction = """', b"Be brief."),
        *(b'"""', b'vad = "off"', b"seed = -3", b'server_key = "0123456789abcdef"', b"thinking_budget = 1"),
        *(b'sip_user = "sip:a@b"', b'ice_servers = ["stun:a:3478"]', b"answer_timeout_s = 6.5"),
    ]
    variables = [
        *(b"$PORT=9000", b'$CORS_ORIGINS=["https://a.example"]', b"$VAD=low", b"$BARGE_IN=no", b"$SEED=5"),
        *(b"$JANUS_URL=ws://127.0.0.1:8188", b"$MAX_CALLS=5", b"$SERVER_KEY_FILE=/nowhere", b"$PROT=1"),
    ]
    every = [f"${name.upper()}=1".encode() for name in Settings.model_fields]
    return [toml, variables, toml + variables, *([each] for each in every)]


TARGET = Target(
    "settings", "lines", fresh, expected=(ConfigError,), more=files, joined=b"\n", max_bytes=4 << 10, quick=300
)
