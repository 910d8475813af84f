"""The pages in a real browser: each panel's main path by mouse and by keys alone, axe, two themes, narrow and wide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving.workbench.browser import Visit, browser
from tests.serving.workbench.old_shop import listening, old_service

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]
PANELS = {
    "workbench/#overview": ".tile",
    "workbench/#shopper": ".ranked li",
    "workbench/#catalogue": ".long-list .row",
    "workbench/#tree": ".children .row",
    "workbench/#beam": "svg.beam-tree .node",
    "workbench/#evaluation": "table tbody tr",
    "workbench/#reports": ".markdown table",
    "shop/": ".shelf .goods-card",
}
"""What is there once a panel has answered."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with old_service(tmp_path_factory.mktemp("panels")) as service, listening(service) as base:
        with httpx.Client(base_url=base, timeout=30) as client:
            items = [each["item_id"] for each in client.get("/v1/items").json()["items"]]
            rows = [{"user_id": f"user-{n}", "item_id": items[n + m]} for n in range(4) for m in range(3)]
            client.post("/v1/events", json={"events": rows}).raise_for_status()
            client.post("/v1/recommend", json={"user_id": "user-1", "timeout_ms": 10_000}).raise_for_status()
        yield base


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def visit(chromium: Any, base: str) -> Iterator[Visit]:
    made = Visit(chromium, base)
    yield made
    made.close()


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Any, selector: str, most: int = 40) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(chromium, base, scheme):
    from axe_core_python.sync_playwright import Axe

    for width in (1280, 360):
        visit = Visit(chromium, base, width=width, scheme=scheme)
        page = visit.open("workbench/", ".tile")
        for path, ready in PANELS.items():
            if "#" in path:
                page.evaluate("address => { location.hash = address }", path.partition("#")[2])
                page.locator(ready).first.wait_for()
            else:
                visit.open(path, ready)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            if width == 1280:
                found = [
                    (each["id"], each["nodes"][0]["html"][:200])
                    for each in Axe().run(page)["violations"]
                    if each["impact"] in ("serious", "critical")
                ]
                assert not found, (path, found)
                ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
                light = sum(map(int, ground.removeprefix("rgb(").rstrip(")").split(","))) > 384
                assert light == (scheme == "light")
        visit.close()


def test_overview_json_and_theme_by_mouse(visit):
    page = visit.open("workbench/", ".tile")
    assert page.locator(".tile", has_text="Invalid items").locator(".figure").inner_text() == "0"
    page.get_by_role("button", name="JSON").click()
    assert "GET /v1/overview" in page.locator("dialog summary").first.inner_text()
    assert '"invalid_items": 0' in page.locator("dialog pre").first.inner_text()
    page.get_by_role("button", name="Close").click()
    page.locator("#theme").click(click_count=2)  # Auto, Light, Dark
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_panels_open_by_keys(visit):
    page = visit.open("workbench/", ".tile")
    for number, (path, ready) in enumerate(list(PANELS.items())[:7], 1):
        press(page, str(number))
        page.locator(ready).first.wait_for()
        assert page.url.endswith(path.partition("#")[2])
    press(page, "j")
    page.locator("dialog pre").first.wait_for()
    press(page, "Escape", "?")
    page.locator("dialog kbd").first.wait_for()


def test_shopper_by_mouse(visit):
    page = visit.open("workbench/#shopper", ".ranked li")
    page.get_by_role("combobox", name="Find a user").fill("user-2")
    page.get_by_role("option", name="user-2").click()
    page.locator(".chosen strong", has_text="user-2").wait_for()
    page.locator(".because li").first.wait_for()
    page.get_by_placeholder("price<20").fill("price<12")
    with page.expect_response(lambda response: "price<12" in (response.request.post_data or "")) as answered:
        page.get_by_role("button", name="Add").click()
    items = answered.value.json()["recommendation"]["items"]
    assert all(each["fields"]["price"] < 12 for each in items)
    page.locator(".ranked li").first.get_by_text(items[0]["fields"]["title"]).wait_for()
    page.locator(".filters .note", has_text="alone").wait_for()
    page.get_by_placeholder("price<20").fill("prise<12")
    page.get_by_role("button", name="Add").click()
    assert "price" in page.locator(".state.error").inner_text()  # the service's own words
    visit.errors.clear()  # the browser tells of the status 422


def test_shopper_by_keys(visit):
    page = visit.open("workbench/#shopper", ".ranked li")
    page.locator("#panel").focus()
    press(page, "/")
    page.keyboard.type("user-3")
    press(page, "ArrowDown", "Enter")  # faster than the answer: what was listed before does not count
    page.locator(".chosen strong", has_text="user-3").wait_for()
    tab_to(page, "input[placeholder='price<20']")
    page.keyboard.type("price<12")
    press(page, "Enter")
    page.locator(".filters .note", has_text="alone").wait_for()


def test_two_models_side_by_side(visit, base):
    with httpx.Client(base_url=base, timeout=60) as client:
        job = client.post("/v1/models", json={"name": "old-gram:memory"}).json()
        while job["state"] == "running":
            job = client.get(f"/v1/jobs/{job['job_id']}").json()
        assert job["state"] == "done", job
    page = visit.open("workbench/#shopper", ".ranked li")
    page.get_by_label("beside").select_option(index=2)
    page.locator(".two .list").nth(1).wait_for()
    assert page.locator(".two .tag").count() >= 10


def test_catalogue_by_mouse(visit):
    page = visit.open("workbench/#catalogue", ".long-list .row")
    assert page.locator(".long-list .row").count() < 40  # of some hundred, only those that are seen
    page.locator(".long-list .row").nth(2).click()
    page.get_by_role("button", name="Hide").click()
    page.get_by_role("button", name="Show again").click()
    page.get_by_role("button", name="Hide").wait_for()
    page.get_by_text("Stage a new item").click()
    page.get_by_label("Id", exact=True).fill("fresh-1")
    page.get_by_label("Title", exact=True).fill("A fresh kettle of copper")
    page.get_by_role("button", name="Stage", exact=True).click()
    page.get_by_text("1 change staged").wait_for()
    page.get_by_role("button", name="Publish").click()
    page.get_by_role("heading", name="Version 1 answers").wait_for(timeout=90_000)
    page.get_by_role("button", name="Changes").click()
    page.locator(".diff li", has_text="kettle").wait_for()
    button = page.get_by_role("button", name="Let it answer")
    button.click()
    page.get_by_role("button", name="Really?").click()
    page.get_by_role("heading", name="Version 0 answers").wait_for()


def test_catalogue_by_keys(visit):
    page = visit.open("workbench/#catalogue", ".long-list .row")
    page.locator("#panel").focus()
    press(page, "/")
    tab_to(page, ".long-list")
    press(page, "End", "Home", "ArrowDown", "Enter")
    page.get_by_role("button", name="Hide").wait_for()
    tab_to(page, ".detail button")
    press(page, "Enter")
    page.get_by_role("button", name="Show again").wait_for()
    tab_to(page, ".detail button", 80)
    press(page, "Enter")
    page.get_by_role("button", name="Hide").wait_for()


def test_identifiers_by_mouse_and_by_keys(visit):
    page = visit.open("workbench/#tree", ".children .row")
    page.locator(".children .row").first.click()
    page.locator(".crumbs li").nth(1).wait_for()
    page.get_by_role("button", name="all items").click()
    page.locator(".crumbs strong", has_text="all items").wait_for()
    while not page.locator(".words li").count():  # down to a leaf, the focus stays in the list
        depth = page.locator(".crumbs li").count()
        page.locator(".children .long-list").focus()
        press(page, "Home", "Enter")
        page.wait_for_function(
            "depth => document.querySelectorAll('.crumbs li').length > depth || document.querySelector('.words li')",
            arg=depth,
        )
    assert page.locator(".words li").count() >= 2
    page.get_by_role("combobox", name="Find an item").fill("a")
    page.locator(".options .option").first.wait_for()
    press(page, "ArrowDown", "Enter")
    page.locator(".detail h2").wait_for()


def test_beam_tree_by_mouse_and_by_keys(visit):
    page = visit.open("workbench/#beam", "svg.beam-tree .node")
    assert page.locator(".node.found").count() == 10
    page.locator(".node.found").first.click()
    assert "in the list, place" in page.locator(".beam-detail").inner_text()
    before = page.locator(".beam-detail").inner_text()
    press(page, "ArrowLeft")
    assert page.locator(".beam-detail").inner_text() != before
    assert "kept" in page.locator(".beam-detail").inner_text()
    press(page, "ArrowDown", "Home", "ArrowRight")
    few = page.locator(".node").count()
    page.get_by_label("all kept").check()
    assert page.locator(".node").count() >= few
    page.get_by_placeholder("price<20").fill("price<12")
    press(page, "Enter")
    page.locator(".node.forbidden").first.wait_for()


def test_evaluation_by_mouse_and_by_keys(visit):
    page = visit.open("workbench/#evaluation", "table tbody tr")
    assert page.locator("tr", has_text="Lists").first.locator("td").inner_text() >= "1"
    page.get_by_label("Last").select_option("30")
    page.locator("tr", has_text="Clicked lists").wait_for()
    page.get_by_label("Places").focus()
    press(page, "Home")
    page.locator("tr", has_text="Clicked lists").wait_for()


def test_reports_are_shown_without_rights(visit):
    page = visit.open("workbench/#reports", ".markdown table")
    page.locator(".long-list").focus()
    press(page, "End", "Enter")
    frame = page.frame_locator("iframe")
    frame.get_by_text("What a study found.").wait_for()
    assert page.locator("iframe").get_attribute("sandbox") == ""
    assert page.frames[1].title() == "A study"  # its script did not run
    assert all("script" in each for each in visit.errors)
    visit.errors.clear()


@pytest.mark.parametrize("by", ["mouse", "keys"])
def test_a_purchase_changes_what_comes_next(visit, by):
    page = visit.open("shop/", ".strip .goods-card")
    assert page.locator("#next-title").inner_text() == "Popular now"
    before = page.locator(".strip h3").all_inner_texts()
    if by == "mouse":
        page.locator(".shelf .goods-card button").nth(3).click()
    else:
        tab_to(page, ".shelf .goods-card button", 60)
        press(page, "Enter")
    page.get_by_role("heading", name="Next for you").wait_for()
    assert page.locator(".strip h3").all_inner_texts() != before
    assert "because of" in page.locator(".strip .why").first.inner_text()
    assert page.locator(".basket li").count() == 1
    page.reload()
    page.get_by_role("heading", name="Next for you").wait_for()


def test_pages_and_panels_answer_fast(visit, base):
    paints = []
    for _ in range(3):
        visit.open("workbench/", ".tile")
        paints.append(visit.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(paints) <= 1000
    with httpx.Client(base_url=base, timeout=30) as client:
        for path in (
            "overview",
            "identifiers",
            "items?limit=100",
            "catalog/versions",
            "reports",
            "users",
            "evaluation",
        ):
            seconds = min(client.get(f"/v1/{path}").elapsed.total_seconds() for _ in range(4))
            assert seconds <= 0.2, path


def test_a_service_with_keys_asks_for_one(chromium, tmp_path):
    with old_service(tmp_path) as service, listening(service) as base:
        key = service.database.keys.add("reader", ["read"])
        visit = Visit(chromium, base)
        page = visit.open("workbench/", ".state.error")
        assert "Enter a key" in page.locator(".state.error").inner_text()
        page.get_by_role("button", name="Key", exact=True).click()
        page.get_by_label("Key of the service").fill(key)
        page.keyboard.press("Enter")
        page.locator(".tile").first.wait_for()
        assert page.evaluate("localStorage.length + document.cookie.length") == 0
        visit.open("workbench/#reports", ".markdown table")  # its figures come without the key, by their tickets
        visit.errors.clear()
        visit.close()
