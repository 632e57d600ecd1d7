"""The pages: the files in `web/`, served from the root with a content policy that admits nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

from agent.errors import OfferError
from agent.settings import Settings

WEB_FOLDER = Path(__file__).parents[2] / "web"
OPERATOR_PAGE = "/calls"

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self'; media-src 'self' blob:; img-src 'self' data: blob:; "
        "style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def routes(settings: Settings) -> list[web.RouteDef]:
    """Return one route per file, so that a request's path is never used as a path on disk.

    Nobody can use the operator's page of a service that has no server key, so it says that instead.
    """
    pages = {"/": "index.html", OPERATOR_PAGE: "calls.html"}
    found = [_route(url, WEB_FOLDER / name) for url, name in pages.items()]
    if settings.server_key is None:
        found[1] = web.get(OPERATOR_PAGE, _refuse)
    return [*found, *(_route(f"/{path.relative_to(WEB_FOLDER).as_posix()}", path) for path in _files())]


def _files() -> Iterator[Path]:
    for path in sorted(WEB_FOLDER.rglob("*")):
        if path.suffix in _TYPES and not path.name.startswith(".") and path.name != "calls.html":
            yield path


async def _refuse(_request: web.Request) -> web.Response:
    detail = "The page of calls requires a server key, and the service has none: set TALKSPURT_SERVER_KEY."
    raise OfferError(404, "no_server_key", detail)


def _route(url: str, path: Path) -> web.RouteDef:
    headers = {**_HEADERS, "Content-Type": _TYPES[path.suffix]}

    async def send(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(path, headers=headers)

    return web.get(url, send)
