from __future__ import annotations

import time

from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.impressions import Impression
from lexirec.serving.upkeep.housekeeping import Housekeeping
from tests.serving.conftest import NOW
from tests.serving.shop import settings

DAY = 86_400.0


def test_what_is_kept_long_enough_goes(database, clock):
    database.events.ingest([NewEvent("ann", "a", time=NOW - days * DAY) for days in (1, 8, 9)]).result()
    for number, days in enumerate((1, 40)):
        database.impressions.log(
            Impression(f"r{number}", "ann", NOW - days * DAY, "active", "s", [{"item_id": "a"}], {})
        )
    database.users.put("eve", {}).result()
    database.users.erase("eve").result()
    housekeeping = Housekeeping(database, settings(events={"keep_days": 7}))
    clock.now = NOW + 31 * DAY
    assert housekeeping.clean(NOW) == {"events": 2, "impressions": 1, "tombstones": 1}
    assert housekeeping.clean(NOW) == {"events": 0, "impressions": 0, "tombstones": 0}


def test_by_default_events_stay(sqlite):
    sqlite.events.ingest([NewEvent("ann", "a", time=NOW - 9_000 * DAY)]).result()
    assert Housekeeping(sqlite, settings()).clean(NOW + 400 * DAY)["events"] == 0


def test_the_thread_cleans_and_ends(sqlite):
    sqlite.impressions.log(Impression("r", "ann", 1.0, "active", "s", [{"item_id": "a"}], {}))
    sqlite.users.put("eve", {}).result()  # the writer takes its jobs in order: the impression is written, too
    assert sqlite.impressions.count() == 1
    housekeeping = Housekeeping(sqlite, settings(), every=0.02)
    housekeeping.start()
    started = time.monotonic()
    while sqlite.impressions.count() and time.monotonic() - started < 20:
        time.sleep(0.02)
    housekeeping.stop()
    assert sqlite.impressions.count() == 0
