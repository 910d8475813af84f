"""The pages: in the package, strict about what they load, without a word of code or style in their HTML."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from lexirec.serving.workbench.pages import POLICY
from tests.serving.shop import serving

STATIC = files("lexirec.serving.workbench") / "static"
NAMES = sorted(each.name for each in STATIC.iterdir())


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(f"sqlite:///{tmp_path_factory.mktemp('pages') / 'shop.db'}") as (client, service):
        service.database.keys.add("reader", ["read"])
        yield client


def test_the_package_holds_the_pages():
    assert {"workbench.html", "workbench.js", "shop.html", "shop.js", "style.css"} <= set(NAMES)
    assert sum(len((STATIC / name).read_bytes()) for name in NAMES) < 200_000


@pytest.mark.parametrize("path", ["/workbench/", "/shop/"])
def test_pages_need_no_key_and_have_a_strict_policy(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == POLICY
    assert "default-src 'self'" in POLICY
    assert "unsafe" not in POLICY
    assert client.get(path, headers={"if-none-match": response.headers["etag"]}).status_code == 304
    assert client.get("/v1/overview").status_code == 401


@pytest.mark.parametrize("path", ["/workbench/", "/shop/"])
def test_every_part_that_a_page_names_is_there(client, path):
    wanted, known = {"."}, set[str]()
    text = client.get(path).text
    while wanted:
        wanted |= {each for each in re.findall(r"(?:src|href|from)[= ]\"(?:\./)?([\w.-]+)\"", text) if "." in each[1:]}
        known.add(min(wanted - known, default="."))
        wanted -= known
        if wanted:
            text = client.get(path + min(wanted)).text
    assert {each for each in known if each != "."} <= set(NAMES)
    assert all(client.get(path + each).status_code == 200 for each in known if each != ".")


@pytest.mark.parametrize("name", [each for each in NAMES if each.endswith(".html")])
def test_html_holds_neither_code_nor_style(name):
    text = (STATIC / name).read_text("utf-8")
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_comes_from_elsewhere(name):
    text = (STATIC / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//cdn|@import|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_addresses_without_a_slash_lead_to_the_page(client):
    response = client.get("/workbench", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (307, "workbench/")


@pytest.mark.parametrize("path", ["/workbench/nothing.js", "/workbench/..%2Fpages.py", "/shop/routes.py"])
def test_other_files_are_not_given_out(client, path):
    assert client.get(path).status_code == 404
