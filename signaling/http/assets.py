"""The page: the files in `web/`, served from the root with a content policy that admits nothing else."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

WEB_FOLDER = Path(__file__).parents[2] / "web"

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


def routes() -> list[web.RouteDef]:
    """Return one route per file, so that a request's path is never used as a path on disk."""
    found = [
        _route(f"/{path.name}", path)
        for path in sorted(WEB_FOLDER.iterdir())
        if path.suffix in _TYPES and not path.name.startswith(".")
    ]
    return [_route("/", WEB_FOLDER / "index.html"), *found]


def _route(url: str, path: Path) -> web.RouteDef:
    headers = {**_HEADERS, "Content-Type": _TYPES[path.suffix]}

    async def send(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(path, headers=headers)

    return web.get(url, send)
