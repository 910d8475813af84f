"""The pages `/workbench/` and `/shop/`: files of the package, which hold no data and load nothing from elsewhere.

They need no key, since the first request of a browser cannot carry one: all that they show comes from `/v1`, with the
key that is typed into the page.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from lexirec.serving.problems import ProblemError

pages = APIRouter(include_in_schema=False)
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
MEDIA = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
START = {"workbench": "workbench.html", "shop": "shop.html"}


def _read() -> dict[str, tuple[bytes, str]]:
    """Return all files with their digests."""
    folder = files("lexirec.serving.workbench") / "static"
    found = {}
    for each in folder.iterdir():
        if each.name.rpartition(".")[2] in MEDIA:
            content = each.read_bytes()
            found[each.name] = content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return found


_FILES = _read()


@pages.get("/workbench")
@pages.get("/shop")
async def without_slash(request: Request) -> Response:
    """Send the browser to the page, whose addresses are relative to its folder."""
    return Response(status_code=307, headers={"location": f"{request.url.path.rpartition('/')[2]}/"})


@pages.get("/workbench/")
@pages.get("/shop/")
async def start(request: Request) -> Response:
    """Return a page."""
    return _file(START[request.url.path.strip("/").rpartition("/")[2]], request)


@pages.get("/workbench/{name}")
@pages.get("/shop/{name}")
async def part(request: Request, name: str) -> Response:
    """Return a part of a page: a module, or the style sheet."""
    return _file(name, request)


def _file(name: str, request: Request) -> Response:
    if name not in _FILES:
        raise ProblemError("not-found", f"there is no page '{name[:64]}'; there are /workbench/ and /shop/")
    content, digest = _FILES[name]
    headers = {"content-security-policy": POLICY, "etag": digest, "cross-origin-opener-policy": "same-origin"}
    if request.headers.get("if-none-match") == digest:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=MEDIA[name.rpartition(".")[2]])
