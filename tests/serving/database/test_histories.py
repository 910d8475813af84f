import pytest

from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.histories import _capped, _whole
from tests.serving.conftest import NOW


@pytest.mark.parametrize(("query", "given"), [(_whole, ('["ann"]',)), (_capped, (-1.0, '["ann"]', 1, 9))])
def test_histories_are_read_from_the_index_alone(sqlite, query, given):
    compiled = str(query(False).compile(sqlite.engine))
    assert compiled.count("?") == len(given)
    plan = sqlite.access.read(
        lambda connection: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", given).all()
    )
    steps = [row[3] for row in plan if "events" in row[3] or "own" in row[3]]
    assert steps
    assert all("USING COVERING INDEX ix_events_user_id" in step for step in steps), steps


@pytest.mark.parametrize("newest", [0, 1, 2, 3, 5])
def test_events_of_one_time_are_cut_in_the_order_of_arrival(database, newest):
    database.events.ingest([NewEvent("ann", f"A{n}", time=NOW - n // 4, event_id=f"e{n}") for n in range(6)]).result()
    ann = database.users.histories(["ann"], newest=newest)["ann"]
    order = ["A4", "A5", "A0", "A1", "A2", "A3"]
    assert list(ann.item_ids) == order[6 - newest :] if newest else ann.item_ids == ()
    assert {item for item, _ in ann.older} == set(order[: 6 - newest])
