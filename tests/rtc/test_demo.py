"""The offline demo in whole calls: what interrupts it, and that it answers speech."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from agent.emulator import Emulator, running_emulator
from agent.emulator.model.transcribe import recognition_installed
from agent.media.fir import Pcm
from signaling.client.caller import Microphone, call_service
from tests.bench.answers import VOICE_HZ, ask, summary
from tests.support.service import ServiceFactory, service_for


def burst(seconds: float, level_db: float) -> Pcm:
    samples = np.random.default_rng(1).normal(0, 32768 * 10 ** (level_db / 20), int(seconds * VOICE_HZ))
    return np.clip(samples, -32768, 32767).astype(np.int16)


async def test_a_cough_does_not_interrupt_and_a_word_does(service: ServiceFactory, emulator: Emulator) -> None:
    async with service() as url, call_service(url, microphone=Microphone(VOICE_HZ)) as caller:
        await caller.message("bot-ready")
        caller.type("tell me a long story")
        await caller.message("bot-started-speaking")
        session = emulator.sessions[0]
        for level_db in (-30, -10):
            caller.microphone.play(burst(0.12, level_db))
            await caller.microphone.played()
            before = session.audio_samples_in
            await emulator.wait_for(lambda since=before: session.audio_samples_in > since + 8_000)  # type: ignore[misc]
        assert session.sent_kinds["interrupted"] == 0
        caller.microphone.play(burst(0.4, -30))
        await emulator.wait_for(lambda: session.sent_kinds["interrupted"] == 1)


@pytest.mark.skipif(not recognition_installed(), reason="needs the extra `demo`")
async def test_spoken_questions_are_answered_and_the_delays_told(capsys: pytest.CaptureFixture[str]) -> None:
    async with asyncio.timeout(60), running_emulator(speech_recognition=True) as emulator:
        emulator.prepare()
        async with service_for(emulator, offline_demo=True) as url:
            answers = await ask(url, ["what time is it", "what is twelve plus thirty"])
    with capsys.disabled():
        print(f"\nthe demo's answers: {summary(answers)}")
    assert all(answer.understood for answer in answers)
    assert all(0.4 < answer.delay_s < 10 for answer in answers)  # the silence that ends a turn is part of it
