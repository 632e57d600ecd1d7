"""The prebuilt voices of the Live API, and Google's one-word description of each. Pure data.

Any voice speaks any language. The Live server may know others: an unknown name is passed on with a warning.
"""

from __future__ import annotations

from difflib import get_close_matches

VOICES = {
    "Zephyr": "bright",
    "Puck": "upbeat",
    "Charon": "informative",
    "Kore": "firm",
    "Fenrir": "excitable",
    "Leda": "youthful",
    "Orus": "firm",
    "Aoede": "breezy",
    "Callirrhoe": "easy-going",
    "Autonoe": "bright",
    "Enceladus": "breathy",
    "Iapetus": "clear",
    "Umbriel": "easy-going",
    "Algieba": "smooth",
    "Despina": "smooth",
    "Erinome": "clear",
    "Algenib": "gravelly",
    "Rasalgethi": "informative",
    "Laomedeia": "upbeat",
    "Achernar": "soft",
    "Alnilam": "firm",
    "Schedar": "even",
    "Gacrux": "mature",
    "Pulcherrima": "forward",
    "Achird": "friendly",
    "Zubenelgenubi": "casual",
    "Vindemiatrix": "gentle",
    "Sadachbia": "lively",
    "Sadaltager": "knowledgeable",
    "Sulafat": "warm",
}
"Google's description of each voice, by name."


def voice_meant(name: str) -> str | None:
    """Return the voice that was probably meant; None if nothing is close."""
    by_lower = {voice.lower(): voice for voice in VOICES}
    found = get_close_matches(name.strip().lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None
