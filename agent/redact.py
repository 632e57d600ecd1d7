"""Remove passwords and tokens from addresses before they are printed, because many people may read logs."""

from __future__ import annotations

import re

HIDDEN = "***"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(//)?", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s'\"<>]+", re.ASCII)


def shown_url(url: str) -> str:
    """Return a URL or SIP address in printable form: without user, password, query and fragment.

    ``wss://ann:pass@host:8188/janus?token=x`` becomes ``wss://***@host:8188/janus?***``. The user of a SIP address
    is part of its name and is kept. If it is not clear where the password ends, because it contains a character
    that should be escaped by RFC 3986, only the scheme is left.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return HIDDEN if re.search("[@?#]", url) else url
    rest = url[scheme.end() :]
    if scheme[2] is None:
        user, at, place = rest.rpartition("@")
        if re.search(r"[/?#\\]", user):
            return f"{scheme[0]}{HIDDEN}"
        place = _without_query(place)
        if scheme[1].lower() not in ("sip", "sips"):
            return f"{scheme[0]}{HIDDEN}@{place}" if at else f"{scheme[0]}{place}"
        name, password, _secret = user.partition(":")
        return f"{scheme[0]}{name}{':' + HIDDEN if password else ''}{at}{place}"
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :]:
        return f"{scheme[0]}{HIDDEN}"
    user, at, host = authority.rpartition("@")
    return f"{scheme[0]}{HIDDEN + at if at else ''}{host}{_without_query(rest[len(authority) :])}"


def without_secrets(text: str, *urls: str) -> str:
    """Return a text, such as a library's error message, with `shown_url` applied to every URL in it.

    Args:
        text: the text.
        urls: further addresses that it may contain, in whatever form.
    """
    for url in urls:
        text = text.replace(url, shown_url(url))
    return _URL.sub(lambda found: shown_url(found[0]), text)


def _without_query(path: str) -> str:
    head = re.split("[?#]", path, maxsplit=1)[0]
    return head if head == path else f"{head}{path[len(head)]}{HIDDEN}"
