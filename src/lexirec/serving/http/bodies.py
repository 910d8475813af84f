"""Bodies that hold one row, a list of rows, or a row a line."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request

from lexirec.serving.problems import ProblemError

JSON, LINES = "application/json", "application/x-ndjson"


def listed_rows(request: Request, body: bytes, name: str) -> list[Any]:
    """Return the rows of a body as plain values.

    Args:
        request: Whose media type says how the body is written.
        body: JSON of one row, of a list, or of `{name: [...]}`; or a row a line.
        name: Of the list, such as `events`.

    Raises:
        ProblemError: it has another media type, cannot be read, or holds no row.
    """
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content not in (JSON, LINES):
        named = f"'{content}'" if content else "missing"
        raise ProblemError("unsupported-media-type", f"the content type is {named}; send {JSON} or {LINES}")
    try:
        text = body.decode("utf-8")
        if content == LINES:
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            values = json.loads(text)
            listed = isinstance(values, dict) and set(values) == {name}
            rows = values[name] if listed else values if isinstance(values, list) else [values]
    except (ValueError, RecursionError):
        what = f"a list of {name}, or one alone"
        raise ProblemError("bad-request", f"the body is no JSON text in UTF-8; send {what}") from None
    if not isinstance(rows, list) or not rows:
        raise ProblemError(
            "invalid-request", f"'{name}' should be a list with at least one row", [(f"/{name}", f"no list of {name}")]
        )
    return rows
