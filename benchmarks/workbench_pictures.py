"""Take a picture of every panel of the workbench, and of the shop, in both themes, wide and narrow.

Run it against a service of the toy shop: python benchmarks/workbench_pictures.py --url http://127.0.0.1:8000
It sends events and asks for lists, so that the panels have something to show, and writes small PNG files.
"""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images" / "workbench"
SIZES = {1440: 900, 390: 844}
COLOURS = 256
PAGES = {
    "overview": ("workbench/#overview", ".tile"),
    "shopper": ("workbench/#shopper?user={user}", ".ranked li"),
    "catalogue": ("workbench/#catalogue?item={item}", ".facts"),
    "identifiers": ("workbench/#tree?item={item}", ".words li"),
    "beam-tree": ("workbench/#beam?user={user}", "svg.beam-tree .node"),
    "evaluation": ("workbench/#evaluation", "table"),
    "reports": ("workbench/#reports", ".markdown table"),
    "shop": ("shop/", ".shelf .goods-card"),
}
"""Address and what is there once the page has answered."""


def prepare(client: httpx.Client) -> dict[str, str]:
    """Let a few visitors look at lists and take some of what they see; return a user and an item to show."""
    users = [each["user_id"] for each in client.get("/v1/users?limit=60").json()["items"]]
    for place, user in enumerate(users):
        answer = client.post("/v1/recommend", json={"user_id": user, "timeout_ms": 10_000}).json()
        if place % 3 == 0:
            taken = answer["items"][place % 4]
            event = {"user_id": user, "item_id": taken["item_id"], "recommendation_id": answer["recommendation_id"]}
            client.post("/v1/events", json=event).raise_for_status()
    items = client.get("/v1/items?limit=5").json()["items"]
    return {"user": users[1], "item": items[4]["item_id"]}


def take(page: Any, base: str, name: str, shown: dict[str, str]) -> bytes:
    """Open a page, let it settle, and return its picture."""
    address, ready = PAGES[name]
    page.goto("about:blank")
    page.goto(f"{base}/{address.format(**shown)}")
    page.locator(ready).first.wait_for()
    if name == "shop":
        page.locator(".shelf button").nth(2).click()
        page.get_by_role("heading", name="Next for you").wait_for()
        page.locator("#said").evaluate("node => { node.remove(); scrollTo(0, 0); }")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)
    if name in ("shopper", "beam-tree", "identifiers") and page.viewport_size["width"] < 800:
        page.locator(".results, .detail").last.scroll_into_view_if_needed()
        page.evaluate("scrollTo(0, document.querySelector('.results, .detail').offsetTop - 110)")
        page.wait_for_timeout(100)
    picture: bytes = page.screenshot()
    return picture


def main() -> None:
    """Take all pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=given.url, timeout=60) as client:
        shown = prepare(client)
    arguments = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=given.chromium, args=arguments)
        for width, height in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
                )
                context.set_default_timeout(60_000)
                page = context.new_page()
                for name in PAGES:
                    path = given.out / f"{name}-{scheme}-{width}.png"
                    picture = Image.open(io.BytesIO(take(page, given.url, name, shown))).convert("RGB")
                    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
                    print(f"{path.name}: {path.stat().st_size:,} bytes")
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
