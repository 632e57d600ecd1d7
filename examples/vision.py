"""An agent that sees: `talkspurt serve examples/vision.py`, then turn on the camera or share the screen.

Pictures need no code: whatever the caller shows reaches the model once a second. The tool puts the agent's findings
on the caller's page.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from agent import Agent, CallContext


class Finding(BaseModel):
    """Something in the picture."""

    what: str
    count: Annotated[int, Field(ge=1)] = 1


def note_findings(ctx: CallContext, findings: list[Finding]) -> str:
    """Write down what is in the picture. Call it whenever the caller asks you to note or count something."""
    ctx.send_event("findings", findings)
    return f"{sum(finding.count for finding in findings)} things have been noted."


agent = Agent(
    instructions=(
        "You see what the caller shows you: camera or screen. Describe it briefly when asked. If you have not been "
        "shown anything, say so, and never guess."
    ),
    greeting="Hello! Show me something, and ask me about it.",
    tools=[note_findings],
)
