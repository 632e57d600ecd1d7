"""A live interpreter for two people: `talkspurt serve examples/translator.py`.

Both speak in the same call, each in their own language, and hear the other in theirs. To change the languages, ask
for others.
"""

from typing import Annotated

from pydantic import Field

from agent import Agent, CallContext, ToolError

Language = Annotated[str, Field(min_length=2, max_length=40, description="A language by its English name.")]


def instructions(one: str, other: str) -> str:
    """Return the agent's instructions for two languages."""
    return (
        f"You are an interpreter between {one} and {other}. Whatever is said in {one} you say in {other}, and "
        f"whatever is said in {other} you say in {one}: at once, completely, in the first person, in the speaker's "
        "tone. Add nothing, answer nothing and explain nothing; questions are for the other person, not for you. "
        "Names and numbers stay as they are. Speech in any other language you leave alone. Only if you are asked "
        "to interpret between other languages, call interpret_between."
    )


def interpret_between(ctx: CallContext, one: Language, other: Language) -> str:
    """Interpret between other languages from now on."""
    if one.casefold() == other.casefold():
        raise ToolError("Both languages are the same. Ask for the other one.")
    ctx.change_agent(instructions(one, other))
    ctx.send_event("languages", [one, other])  # the page can show them
    return f"Say in both languages that you interpret between {one} and {other} now."


agent = Agent(instructions=instructions("English", "German"), tools=[interpret_between])
