"""The command line of a lexirec with one more revision of the schema, whose migration takes its time.

Run as `python -m tests.serving.migrating_service serve …`: a service that is killed while it migrates.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, text

from lexirec.serving.database import migration, opening

NEWER = "lexirec_9001"
STEPS, STEP_SECONDS = 20, 0.03
_real, _last = migration._upgrade, migration.REVISIONS[-1]


def _upgrade(connection: Connection) -> None:
    """Bring the schema to the last revision, then, step by step in the same transaction, to a newer one."""
    if migration._revision(connection) != _last:
        _real(connection)
    connection.execute(text("CREATE TABLE copied (seq integer PRIMARY KEY, event_id text)"))
    for step in range(STEPS):
        connection.execute(
            text("INSERT INTO copied SELECT seq, event_id FROM events WHERE seq % :steps = :step"),
            {"steps": STEPS, "step": step},
        )
        time.sleep(STEP_SECONDS)
    connection.execute(text("UPDATE alembic_version SET version_num = :newer"), {"newer": NEWER})


def main() -> None:
    migration.REVISIONS = opening.REVISIONS = (*migration.REVISIONS, NEWER)
    migration._upgrade = _upgrade
    from lexirec.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
