from __future__ import annotations

from lexirec.serving.database.models import ServedModel
from lexirec.serving.database.opening import open_database

FIRST = ServedModel("shop@1", "1", "", {"name": "shop", "part": None, "key": "1"})
SECOND = ServedModel("tuesday@2", "2", "/models/tuesday", {"name": "tuesday"})


def test_the_active_model_and_the_one_before_are_remembered(database, database_url, clock):
    assert database.models.get("active") is None
    database.models.serve(FIRST).result()
    assert (database.models.get("active"), database.models.get("previous")) == (FIRST, None)
    database.models.serve(SECOND, FIRST).result()
    assert (database.models.get("active"), database.models.get("previous")) == (SECOND, FIRST)
    database.models.serve(FIRST, SECOND).result()
    with open_database(database_url, clock=clock) as again:
        assert (again.models.get("active"), again.models.get("previous")) == (FIRST, SECOND)
