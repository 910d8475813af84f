"""Evaluation: every case's target is looked for in a list over the whole catalogue, item by item.

A report carries its protocol: no number leaves without how it was measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexirec.data.splits import Cases
from lexirec.errors import ArtifactError
from lexirec.metrics import Ranks, ranks_of, summarize
from lexirec.progress import Progress

if TYPE_CHECKING:
    from lexirec.scorers import Recommender

DEFAULT_KS = (1, 3, 5, 10, 20, 50)
TIES = "ties in score go to the smaller item number"
_CELLS = 1 << 26
"""Scores held at once, 256 MiB in float32."""


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found.

    Attributes:
        metrics: `recall@k`, `ndcg@k` and `mrr@k` for every k, means over cases.
        ranks: int64 (C,), the target's rank in each list; 0 where it is not in it.
        protocol: How it was measured; JSON values only.
        invalid: Places of lists that held no item of the catalogue.
        seconds: Time for making all lists.
    """

    metrics: dict[str, float]
    ranks: Ranks
    protocol: dict[str, Any] = field(default_factory=dict)
    invalid: int = 0
    seconds: float = 0.0

    def save(self, folder: str | Path) -> None:
        """Write `report.json` and `ranks.npy` into `folder`."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        np.save(target / "ranks.npy", self.ranks, allow_pickle=False)
        card = {"metrics": self.metrics, "invalid": self.invalid, "seconds": self.seconds, "protocol": self.protocol}
        (target / "report.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Report:
        """Read what `save` wrote; raises ArtifactError where it cannot."""
        source = Path(folder)
        try:
            card = json.loads((source / "report.json").read_text(encoding="utf-8"))
            ranks = np.load(source / "ranks.npy", allow_pickle=False)
            return cls(card["metrics"], ranks, card["protocol"], card["invalid"], card["seconds"])
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(f"{source}: this is no saved evaluation ({error}); evaluate again") from None


def evaluate(
    recommender: Recommender,
    cases: Cases,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    exclude_seen: bool = True,
    batch_size: int = 256,
    protocol: Mapping[str, Any] | None = None,
) -> Report:
    """Measure a recommender on cases: full catalogue, item level, one target a case.

    Args:
        recommender: Anything that ranks.
        cases: Histories and targets.
        ks: Places at which metrics are cut; lists are as long as the largest.
        exclude_seen: Whether items of the history are kept out of the lists; a target that is in its own history can
            then never be found, and `targets_seen` of the protocol counts such cases.
        batch_size: Histories ranked at once (fewer where the catalogue is large).
        protocol: What else the protocol says, such as that of the split.
    """
    k, n_items = max(ks), len(recommender.catalog)
    rows = max(1, min(batch_size, _CELLS // max(n_items, 1)))
    lists = np.full((len(cases), k), -1, dtype=np.int64)
    started = time.monotonic()
    with Progress("evaluating", len(cases)) as progress:
        for start in range(0, len(cases), rows):
            part = np.arange(start, min(start + rows, len(cases)))
            lists[part] = recommender.rank(cases.histories.take(part), k=k, exclude_seen=exclude_seen).items
            progress.advance(len(part))
    ranks = ranks_of(lists, cases.targets)
    card = {
        **(protocol or {}),
        "cases": len(cases),
        "candidates": n_items,
        "list_length": k,
        "exclude_seen": exclude_seen,
        "targets_seen": _targets_seen(cases),
        "ties": TIES,
        **recommender.protocol,
    }
    return Report(summarize(ranks, ks), ranks, card, _invalid(lists, n_items), round(time.monotonic() - started, 3))


def sample_cases(cases: Cases, size: int | None, seed: int = 0) -> Cases:
    """Return a fixed random sample of the cases, in their order; all of them when `size` is None or larger."""
    if size is None or size >= len(cases):
        return cases
    return cases.take(np.sort(np.random.default_rng(seed).choice(len(cases), size, replace=False)))


def interval(ranks: Ranks, k: int) -> tuple[float, float]:
    """Return the half-widths of the 95 % intervals of recall@k and ndcg@k over cases (normal approximation)."""
    found = (ranks >= 1) & (ranks <= k)
    gains = np.where(found, 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0)
    return _half_width(found.astype(np.float64)), _half_width(gains)


def _half_width(values: NDArray[np.float64]) -> float:
    return float(1.96 * values.std() / np.sqrt(len(values))) if len(values) else 0.0


def _targets_seen(cases: Cases) -> int:
    """Return how many targets stand in their own history."""
    rows = np.repeat(np.arange(len(cases)), cases.histories.lengths)
    return len(np.unique(rows[cases.histories.items == cases.targets[rows]]))


def _invalid(lists: NDArray[np.int64], n_items: int) -> int:
    return int(np.count_nonzero((lists < -1) | (lists >= n_items)))
