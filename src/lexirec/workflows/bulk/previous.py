"""Lists of an earlier run that are taken over: those of users whose events have not changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.core.files import read_json
from lexirec.shards.plan import SUCCESS, ShardPlan
from lexirec.workflows.bulk.inputs import open_digests, open_users


@dataclass(frozen=True, eq=False)
class Previous:
    """A finished run.

    Attributes:
        folder: Of its parts.
        plan: Of them.
        facts: What its manifest says of model and rules.
    """

    folder: Path
    plan: ShardPlan
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Previous:
        """Open a folder of `recommend_all`.

        Raises:
            ArtifactError: it holds no finished run.
        """
        manifest = read_json(folder / SUCCESS)
        try:
            plan = ShardPlan(int(manifest["rows"]), int(manifest["rows_per_shard"]), str(manifest["plan"]))
            facts = manifest["facts"]
            if not {"lists", "input"} <= set(facts):
                raise ValueError("they are not those of this command")
        except (KeyError, TypeError, ValueError):
            raise ArtifactError(
                f"{folder} holds no finished run of recommend-all (its manifest {SUCCESS} is missing or damaged);"
                " finish that run first, or leave out --since"
            ) from None
        return cls(folder, plan, facts)

    def unchanged(self, user_ids: pa.ChunkedArray, digests: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return for each user the row of the earlier run that has the same events, −1 for none: int64.

        Raises:
            ArtifactError: the inputs of the earlier run are gone.
        """
        folder = self.folder / str(self.facts["input"])
        try:
            users, before = open_users(folder), open_digests(folder)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ArtifactError(f"{folder} is missing or damaged ({error}); leave out --since") from None
        found = pc.fill_null(pc.index_in(user_ids, value_set=users.combine_chunks()), -1)
        rows = np.asarray(found).astype(np.int64)
        rows[(rows >= 0) & (before[np.maximum(rows, 0)] != digests)] = -1
        return rows

    def lists(self, rows: NDArray[np.int64]) -> pa.Table:
        """Return the lists of these rows, in their order."""
        numbers, places = rows // self.plan.rows_per_shard, rows % self.plan.rows_per_shard
        tables, order = [], []
        for number in np.unique(numbers) if len(rows) else [0]:
            mine = np.flatnonzero(numbers == number)
            part = self.plan.part(self.folder, int(number))
            tables.append(pq.ParquetFile(part).read().take(pa.array(places[mine])))
            order.append(mine)
        return pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(order), kind="stable")))
