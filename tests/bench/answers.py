"""``python -m tests.bench.answers``: how long the offline demo takes to answer, in whole calls on a busy machine.

The clock runs from the last sample of the caller's voice that was sent to the first audible sample of the agent
that was heard: encoders, the network, the service, the silence that ends a turn, and recognition are all in it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from time import monotonic
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from agent.emulator.model.voice import speech_pack
from agent.media.fir import Pcm
from signaling.client.caller import Caller, Microphone, call_service
from tests.bench.service import clean_environment, running_process

SERVE = (sys.executable, "-m", "signaling", "serve", "--port", "0")
QUESTIONS = (
    "what time is it",
    "what is twelve plus thirty",
    "roll the dice",
    "what is the weather in paris",
    "hello",
)
VOICE_HZ = 24_000
AUDIBLE = 500  # of 32768
LIMIT_S = 10.0  # for one answer
QUIET_FRAMES = 50  # between an answer and the next question
SPIN = "while True: pass"

console = Console()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one question.

    Attributes:
        question: what was asked.
        understood: it was transcribed word for word.
        delay_s: from the caller's last sound to the agent's first one; inf if there was none in time.
    """

    question: str
    understood: bool
    delay_s: float


async def ask(url: str, questions: list[str]) -> list[Answer]:
    """Ask aloud in one call, each question after the answer to the one before."""
    async with call_service(url, microphone=Microphone(VOICE_HZ)) as caller:
        await caller.message("bot-ready")
        await _quiet(caller, 0)
        return [await _ask(caller, question) for question in questions]


async def _ask(caller: Caller, question: str) -> Answer:
    messages = len(caller.messages)
    caller.microphone.play(_voice_of(question))
    await caller.microphone.played()
    asked_at, frames = monotonic(), len(caller.heard)
    try:
        await caller.until(lambda: any(_audible(frame) for frame in caller.heard[frames:]), LIMIT_S)
    except TimeoutError:
        return Answer(question, understood=False, delay_s=float("inf"))
    delay_s = monotonic() - asked_at
    await _quiet(caller, len(caller.heard))
    heard = [each["data"]["text"] for each in caller.messages[messages:] if each["type"] == "user-transcription"]
    return Answer(question, question in (text.strip() for text in heard), delay_s)


async def _quiet(caller: Caller, frames: int) -> None:
    """Wait until the agent has said all, not counting the frames before."""

    def quiet() -> bool:
        newest = caller.heard[max(frames, len(caller.heard) - QUIET_FRAMES) :]
        return len(newest) == QUIET_FRAMES and not any(map(_audible, newest))

    await caller.until(quiet, 60.0)


def _voice_of(question: str) -> Pcm:
    """Return the question up to its last sound."""
    voice = speech_pack().caller_phrase(question)
    return voice[: int(np.flatnonzero(np.abs(voice.astype(np.int32)) > AUDIBLE)[-1])]


def _audible(frame: Pcm) -> bool:
    return bool(np.abs(frame.astype(np.int32)).max(initial=0) > AUDIBLE)


def summary(answers: list[Answer]) -> str:
    """Say how the delays are distributed."""
    delays_ms = [1000 * answer.delay_s for answer in answers]
    p50, p90 = np.percentile(delays_ms, (50, 90), method="higher")
    understood = sum(answer.understood for answer in answers)
    return (
        f"{len(answers)} questions, {understood} understood; "
        f"p50 {p50:.0f} ms, p90 {p90:.0f} ms, longest {max(delays_ms):.0f} ms"
    )


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep the machine busy with so many processes that do nothing but compute."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def run(
    questions: Annotated[int, typer.Option(min=1, max=200, help="How many to ask.")] = 20,
    busy: Annotated[int, typer.Option(min=0, max=16, help="Processes that compute all the time meanwhile.")] = 2,
) -> None:
    """Ask the offline demo aloud, and print how long its answers took."""
    asked = list(islice(cycle(QUESTIONS), questions))

    async def measure() -> list[Answer]:
        async with running_process(SERVE, clean_environment()) as (url, _pid):
            with busy_processes(busy):
                return await ask(url, asked)

    answers = asyncio.run(measure())
    for answer in answers:
        verdict = "understood" if answer.understood else "not understood"
        console.print(f"{1000 * answer.delay_s:6.0f} ms  {verdict}  {answer.question}")
    console.print(
        f"{busy} busy processes on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: {summary(answers)}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    typer.run(run)
