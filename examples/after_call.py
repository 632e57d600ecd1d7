"""A dentist's line that keeps a note of each call: who wants what, and when to call back.

talkspurt serve examples/after_call.py
"""

from typing import Literal

from pydantic import BaseModel, Field

from agent import Agent, CallContext, CallSummarised


class Note(BaseModel):
    """What the practice wants to know of a call."""

    wants: Literal["appointment", "information", "other"]
    pain: bool = Field(description="The caller is in pain.")
    phone: str | None = Field(
        None, pattern=r"^[+0-9 ]{5,20}$", description="Where to call back, if the caller said."
    )


notes: dict[str, str] = {}


def keep_note(call: CallContext, summarised: CallSummarised) -> None:
    """Keep what is certain; what could not be read is for a person to listen to."""
    if summarised.state == "failed":
        notes[call.call_id] = f"no note of this call: {summarised.reason}"
        return
    note = Note.model_validate(summarised.data)
    urgent = "URGENT: " if note.pain else ""
    notes[call.call_id] = f"{urgent}{note.wants}, {note.phone or 'no number'}: {summarised.summary}"


agent = Agent(
    instructions="You answer the telephone of a dentist. Ask what the caller wants, and for a number to call back.",
    greeting="Dental practice, good morning. How can I help you?",
    summary=True,
    extract=Note,
    on_call_summarised=keep_note,
)
