"""A real browser for the tests of the pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MISSING = "Chromium is not installed (Debian's package chromium), or Python's package playwright"


def find_chromium() -> str:
    """Return the browser's path; skips the test where there is none, unless LEXIREC_REQUIRE_SERVERS=1."""
    path = shutil.which("chromium")
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        path = None
    if path is not None:
        return path
    if os.environ.get("LEXIREC_REQUIRE_SERVERS") == "1":
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@contextmanager
def browser() -> Iterator[Any]:
    """A browser without a window."""
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


class Visit:
    """A page of a context of its own, which takes down what should not happen.

    Attributes:
        page: The page.
        foreign: Addresses of other hosts that it asked for.
        errors: What it could not do.
    """

    def __init__(self, opened: Any, base: str, *, width: int = 1280, scheme: str = "light") -> None:
        self.base, self.foreign, self.errors = base, list[str](), list[str]()
        self._context = opened.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
        )
        self._context.set_default_timeout(30_000)
        self.page = self._context.new_page()
        self.page.on("request", self._asked)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "about:")):
            self.foreign.append(request.url)

    def open(self, path: str, ready: str) -> Any:
        """Open a page anew, and wait until something is there."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/{path}")
        self.page.locator(ready).first.wait_for()
        return self.page

    def close(self) -> None:
        self._context.close()
        assert not self.foreign
        assert not self.errors
