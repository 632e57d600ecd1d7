"""The smallest agent: `talkspurt serve examples/hello.py`."""

from agent import Agent

agent = Agent(
    instructions="You are a cheerful voice agent. Answer in one or two sentences.",
    greeting="Hello! What can I do for you?",
)
