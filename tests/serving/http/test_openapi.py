"""The description of the service is kept as a file: a change of the interface is one that somebody meant."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.serving.shop import serving

KEPT = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"


def test_the_description_is_the_one_that_is_kept(tmp_path):
    with serving(f"sqlite:///{tmp_path / 'shop.db'}") as (client, _):
        found = client.get("/openapi.json").json()
    found["info"]["version"] = "0"
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("LEXIREC_WRITE_OPENAPI"):
        KEPT.write_text(text, encoding="utf-8")
    assert text == KEPT.read_text(encoding="utf-8"), (
        "the interface has changed: LEXIREC_WRITE_OPENAPI=1 pytest tests/serving/http/test_openapi.py keeps it"
    )


def test_every_operation_says_what_it_needs_and_which_problems_it_has():
    paths = json.loads(KEPT.read_text(encoding="utf-8"))["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            assert operation["summary"], (path, method)
            if path.startswith("/v1"):
                assert operation["security"], (path, method)
                assert {"400", "401", "403", "422", "429", "500", "503"} <= set(operation["responses"]), (path, method)
