"""What the commands of the service print."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from lexirec.core.printable import printable_json

if TYPE_CHECKING:
    from lexirec.serving.database.keys import Key


def print_key(name: str, secret: str, as_json: bool) -> None:
    """Print a new key, which is shown this once."""
    if as_json:
        typer.echo(printable_json({"name": name, "key": secret}))
        return
    typer.echo(secret)
    typer.echo(f"this is the key '{name}'; it is not shown again", err=True)


def print_keys(keys: Sequence[Key], as_json: bool) -> None:
    """Print names, scopes and ages of keys."""
    rows: list[dict[str, Any]] = [
        {
            "name": key.name,
            "scopes": sorted(key.scopes),
            "created": _day(key.created),
            "revoked": None if key.revoked is None else _day(key.revoked),
        }
        for key in keys
    ]
    if as_json:
        typer.echo(printable_json(rows))
        return
    for row in rows:
        state = f"revoked {row['revoked']}" if row["revoked"] else "valid"
        typer.echo(f"{row['name']}  {','.join(row['scopes'])}  since {row['created']}  {state}")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
