"""What callers are expected to say; with a grammar recognition is far more reliable than with free dictation."""

from __future__ import annotations

from agent.emulator.model.phrases import SMALL, TENS

_CITIES = (
    *("paris", "london", "rome", "berlin", "madrid", "vienna", "new york", "tokyo", "boston", "chicago", "moscow"),
    *("oslo", "amsterdam", "dublin", "sydney", "toronto", "prague", "warsaw", "lisbon", "athens", "brussels"),
)


def demo_grammar() -> str:
    """What the demo model understands, in the JSpeech Grammar Format."""
    ones, small, tens, cities = map(" | ".join, (SMALL[1:10], SMALL, TENS, _CITIES))
    return f"""#JSGF V1.0;
grammar demo;
<tens> = {tens};
<number> = {small} | <tens> | <tens> ({ones});
<sum> = <number> (plus | minus | times | divided by) <number>;
<city> = {cities};
<weather> = (what is | how is) the weather [like] [today] [in <city>];
<time> = what time is it [now] | what is the time | tell me the time | what day is it | what is the date;
<play> = (roll | throw) (the dice | a die) | flip a coin | tell me a [long] story;
<about> = what can you do | help [me] | who are you | how are you | what (do | can) you see;
<manners> = hello [there] | hi [there] | good morning | good evening | thank you | thanks | goodbye | bye;
<end> = stop | stop it | please stop | that is enough;
public <request> = [please | can you | could you] (<time> | <play> | <weather> | <about> | [what is] <sum>)
    | <manners> | <end>;
"""
