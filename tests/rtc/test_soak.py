"""A crowd of calls does not make the service grow: a small run of `tests.soak`."""

from __future__ import annotations

from agent.emulator import running_emulator
from tests.bench.service import running_service
from tests.soak.crowd import Crowd, offers, read

GROWTH_MIB = 14.0  # of 300 calls, beside what Python's own arenas come and go by; it was 30 and more


async def test_calls_that_have_ended_leave_no_memory_thread_file_or_task() -> None:
    async with (
        running_emulator(await_playback=False) as emulator,
        running_service("talkspurt", emulator, core=0, pinned=False) as service,
    ):
        crowd = Crowd(service, await offers())
        await crowd.come(offers=120, calls=16)
        before = await read(service)
        await crowd.come(offers=280, calls=20)
        after = await read(service)
    assert crowd.late <= 4
    assert after.ended - before.ended > 200
    assert after.memory_mib - before.memory_mib < GROWTH_MIB
    assert after.threads <= before.threads
    assert after.files <= before.files
    assert after.tasks <= before.tasks
