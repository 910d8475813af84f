"""Downloads from a small hub of our own: the real client against a server that speaks the few calls it makes."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from lexirec.models.hub_download import is_hub_name
from tests.worlds.exported_shop import exported

COMMITS = {"main": "1" * 40, "v1": "2" * 40}
LOAD = """
import sys
from lexirec.core.errors import LexirecError
from lexirec.models.loading import load_recommender
for name in sys.argv[1:]:
    try:
        print([each.item_id for each in load_recommender(name).recommend(["toy-00003"], k=3)])
    except LexirecError as error:
        print("error:", error)
"""
FETCH = """
import sys
from lexirec.core.errors import LexirecError
from lexirec.models.hub_download import fetch_from_hub
for name in sys.argv[1:]:
    try:
        print(fetch_from_hub(name))
    except LexirecError as error:
        print("error:", error)
"""


class Hub(BaseHTTPRequestHandler):
    """Serves one repository, `shop/rec`; revision v1 lacks a file."""

    folder: Path

    def log_message(self, *_):
        pass

    def files(self, revision):
        found = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if path.is_file()}
        return {name: path for name, path in found.items() if revision != COMMITS["v1"] or name != "settings.json"}

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        path = unquote(urlsplit(self.path).path).strip("/")
        parts = path.split("/")
        repository = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if repository != "shop/rec":
            return self.answer(401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        revision = parts[5] if parts[0] == "api" and len(parts) > 5 else parts[3] if len(parts) > 3 else "main"
        commit = COMMITS.get(revision, revision if revision in COMMITS.values() else None)
        if commit is None:
            return self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
        if parts[0] == "api":
            return self.describe(parts, commit)
        file = self.files(commit).get("/".join(parts[4:]))
        if file is None:
            return self.answer(404, X_Error_Code="EntryNotFound")
        body = file.read_bytes()
        etag = '"' + hashlib.sha1(body).hexdigest() + '"'
        return self.answer(200, body, ETag=etag, X_Repo_Commit=commit)

    do_HEAD = do_GET

    def describe(self, parts, commit):
        files = self.files(commit)
        if "tree" in parts:
            sizes = {
                name: (path.stat().st_size, hashlib.sha1(path.read_bytes()).hexdigest()) for name, path in files.items()
            }
            entries = [{"type": "file", "path": name, "size": size, "oid": oid} for name, (size, oid) in sizes.items()]
            return self.answer(200, json.dumps(entries).encode(), Content_Type="application/json")
        values = {"id": "shop/rec", "modelId": "shop/rec", "sha": commit, "private": False, "tags": []}
        values["siblings"] = [{"rfilename": name} for name in files]
        return self.answer(200, json.dumps(values).encode(), Content_Type="application/json")


@pytest.fixture(scope="module")
def hub():
    handler = type("Handler", (Hub,), {"folder": exported("old-tsrec", "reinforced")})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def lines(code, names, home, **environment):
    """Return what a process without a proxy and with a cache of its own prints of every name."""
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_") and key.upper() not in proxies}
    settings = {"HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*"}
    command = [sys.executable, "-c", code, *names]
    done = subprocess.run(command, capture_output=True, text=True, env=kept | settings | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.long
def test_a_recommender_is_loaded_from_the_hub_and_then_from_the_cache(hub, tmp_path):
    names = [str(exported("old-tsrec", "reinforced")), "shop/rec", "shop/rec@v1"]
    local, fetched, broken = lines(LOAD, names, tmp_path, HF_ENDPOINT=hub)
    assert local.startswith("['toy-")
    assert fetched == local
    assert broken.startswith("error: ")  # the revision lacks a file
    assert broken.endswith("settings.json is missing; fetch the folder again, or export it again")
    assert lines(LOAD, ["shop/rec"], tmp_path, HF_HUB_OFFLINE="1") == [local]


@pytest.mark.long
def test_what_the_hub_lacks_is_one_line(hub, tmp_path):
    missing, revision = lines(FETCH, ["shop/nothing", "shop/rec@v9"], tmp_path, HF_ENDPOINT=hub)
    assert missing.startswith("error: shop/nothing: there is no such folder here and no such repository on the hub")
    assert revision.startswith("error: shop/rec@v9: the hub's shop/rec has no revision 'v9'")
    for environment in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}):
        (said,) = lines(FETCH, ["shop/rec"], tmp_path, **environment)
        assert said.startswith("error: shop/rec: there is no such folder here, and the hub cannot be reached")


def test_names_of_the_hub_are_not_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    yes = ["org/name", "org/name@main", "org/some-name.v2@refs/pr/3"]
    no = ["name", "small", "./org/name", "/org/name", "a/b/c", "runs/small", "org/", "@main", "org/name@"]
    assert [name for name in yes + no if is_hub_name(name)] == yes
