"""What the offline demo model says, word for word; the voice pack is rendered from it."""

from __future__ import annotations

GREETING = "Hello! I am the offline demo model. How can I help you?"
WHO = "I am the offline demo model of talkspurt. I follow a few rules and no language model is involved."
ABILITIES = (
    "You can ask me for the time, the date, a dice roll, a coin flip, a sum, the weather, "
    "what I see, or a long story that you can interrupt."
)
NOT_UNDERSTOOD = f"I am the offline demo model, and I did not understand that. {ABILITIES}"
NO_RECOGNITION_PIECES = ("but I am the offline demo without speech recognition.", "Please type to me.")
NO_RECOGNITION = " ".join(NO_RECOGNITION_PIECES)
UNREADABLE_PICTURE = "I received a picture that I cannot read."
NOT_CAUGHT = "I heard you, but I did not catch any words. Please say that again, or type to me."
WELCOME = "You are welcome."
GOODBYE = "Goodbye! It was nice talking to you."
STOPPED = "Okay, I will stop."
FINE = "I am fine, thank you. All my rules are in order."
NO_WEATHER_TOOL = "I have no weather tool in this call. Declare a function named get weather, and I will call it."
WHICH_CITY = "For which city?"
NO_PICTURE = "I have not received any picture yet."
NO_NAME = "You have not told me your name yet."
NOTHING_SAID = "You have not said anything yet."
ZERO_DIVISION = "I cannot divide by zero."
TOO_LARGE = "That number is too large for me."
TOOL_FAILED = "I am sorry, the tool did not work."
TOOL_SILENT = "I am sorry, the tool did not answer in time."
LOOKING_UP = "I am looking that up. One moment, please."
NO_SUCH_TOOL = "There is no function with that name in this call."
NOT_ALOUD = "I cannot say this aloud without a speech program. Please read it."
HEADS = "It is heads."
TAILS = "It is tails."

STORY = (
    "Here is a long story. You can interrupt me at any time.",
    "Once upon a time, a small packet of sound lived at the edge of a large network.",
    "Every twenty milliseconds it wanted to travel, and every time it had to find its way alone.",
    "One day it met a router who was very busy. Wait in line, said the router, and the packet waited.",
    "Behind it came a second packet, and a third, and soon the line was long.",
    "Some packets grew tired and left the line, and nobody ever heard of them again.",
    "But our packet was patient. It kept its number, and it remembered its place.",
    "At last the door opened, and it ran across wires and under the sea, past mountains and cities.",
    "On the other side, a friendly buffer took it by the hand and put it where it belonged.",
    "And so a voice that was spoken in one place was heard in another, whole and in order. The end.",
)

CALLER = (
    "hello",
    "what time is it",
    "tell me a long story",
    "please stop",
    "what is twelve plus thirty",
    "what is the weather in paris",
    "roll the dice",
)
"""What a caller may say; a second voice in the pack, for tests and headless callers."""

SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def below_hundred(n: int) -> str:
    """A number from 0 to 99 in English words."""
    if n < 20:
        return SMALL[n]
    tens, ones = divmod(n, 10)
    return TENS[tens - 2] + (f" {SMALL[ones]}" if ones else "")


SENTENCES: tuple[str, ...] = (
    *(GREETING, WHO, ABILITIES, *NO_RECOGNITION_PIECES, NOT_CAUGHT, WELCOME, GOODBYE, STOPPED, FINE),
    "I am the offline demo model, and I did not understand that.",
    *(NO_WEATHER_TOOL, WHICH_CITY, NO_PICTURE, UNREADABLE_PICTURE, NO_NAME, NOTHING_SAID, ZERO_DIVISION, TOO_LARGE),
    *(TOOL_FAILED, TOOL_SILENT, LOOKING_UP, NO_SUCH_TOOL, NOT_ALOUD, HEADS, TAILS),
    *STORY,
)

PIECES: tuple[str, ...] = (
    *("it is", "today is", "you rolled a", "the answer is", "I heard you for", "seconds", "second"),
    *("I received a picture of", "by", "pixels", "picture so far", "pictures so far", "I have", "nice to meet you"),
    *("your name is", "you said", "in the morning", "in the afternoon", "in the evening", "o'clock", "oh"),
    *("plus", "minus", "times", "divided by", "is", "and", "point", "hundred", "thousand", "million"),
    *("degrees", "in", "the weather in", "the tool says", "sunny", "cloudy", "rainy", "clear", "windy"),
    *("snow", "rain", "fog", "with", "about"),
    *DAYS,
    *MONTHS,
    *(below_hundred(n) for n in range(100)),
)
"""Pieces that are joined to say times, sums and numbers."""
