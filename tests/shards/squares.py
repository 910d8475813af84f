"""Tasks that need no model: squares of the rows' numbers, slow, failing or killing on purpose."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lexirec.core.errors import ArtifactError, DataError
from lexirec.shards.plan import Shard, ShardPlan


@dataclass(frozen=True)
class Squares:
    """Squares, after a while; shards of `failing` raise, those of `killing` kill their worker."""

    seconds: float = 0.0
    failing: tuple[int, ...] = ()
    killing: tuple[int, ...] = ()
    broken: str = ""
    attempts: Path | None = None

    def setup(self) -> int:
        if self.broken:
            raise ArtifactError(self.broken)
        return 2

    def run(self, shard: Shard, state: Any) -> pa.Table:
        if self.attempts is not None:
            with self.attempts.open("a") as file:
                file.write(f"{shard.number}\n")
        time.sleep(self.seconds)
        if shard.number in self.killing:
            os.kill(os.getpid(), signal.SIGKILL)
        if shard.number in self.failing:
            raise DataError(f"nothing comes of shard {shard.number}")
        rows = range(shard.start, shard.stop)
        return pa.table({"row": list(rows), "square": [row**state for row in rows]})


def plan_of(rows: int = 40, rows_per_shard: int = 10, **made_of: Any) -> ShardPlan:
    return ShardPlan.over(rows, rows_per_shard, made_of)
