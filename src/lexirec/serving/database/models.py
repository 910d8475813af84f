"""Which models a service answers with: the active one, and the one before it, to which the service can go back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, delete, select

from lexirec.serving.database.access import Access
from lexirec.serving.database.tables import models
from lexirec.serving.database.upserts import insert_or_update
from lexirec.serving.database.write_queue import single

State = Literal["active", "previous"]


@dataclass(frozen=True)
class ServedModel:
    """A model as the database remembers it.

    Attributes:
        name: What tells it apart: name and version.
        version: Its version.
        folder: The folder it was loaded from; empty for an experiment.
        details: What else is needed to load it again, as JSON values.
    """

    name: str
    version: str
    folder: str
    details: Mapping[str, Any]


class ModelStore:
    """The served models of a database."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def get(self, state: State) -> ServedModel | None:
        """Return the active model, or the one before it; None where the service has had none."""
        query = select(models).where(models.c.state == state).order_by(models.c.created.desc())
        row = self._access.read(lambda connection: connection.execute(query).first())
        return None if row is None else ServedModel(row.name, row.version, row.folder, json.loads(row.details))

    def serve(self, active: ServedModel, previous: ServedModel | None = None) -> Future[None]:
        """Remember the active model and the one before it, in place of earlier ones, in one transaction."""
        now = self._access.clock()
        states: list[tuple[State, ServedModel]] = [("active", active)]
        states += [("previous", previous)] if previous is not None else []
        rows = [
            {
                "name": each.name,
                "version": each.version,
                "folder": each.folder,
                "state": state,
                "details": json.dumps(dict(each.details)),
                "created": now,
            }
            for state, each in states
        ]

        def run(connection: Connection) -> None:
            connection.execute(delete(models))
            insert_or_update(connection, models, rows)

        return self._access.writer.submit(single(run, rows=len(rows)))
