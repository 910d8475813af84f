"""Full-catalogue evaluation of a recommender: metrics, ranks and lists, saved with their protocol.

Every item of the catalogue is a candidate, every case has one target, and metrics are per item. For recommenders with
identifiers, identifier-level metrics are reported beside them: they count a shared identifier as a hit, as the
reference implementations do. Ties go to the smaller item number.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lexirec.core.arguments import expect
from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.ranking import Ranking, Recommender
from lexirec.data.splits import Cases
from lexirec.evaluation.case_lists import available_items, lists_of, targets_left_out
from lexirec.evaluation.list_checks import (
    check_cases,
    check_lists,
    invalid_places,
    short_lists,
)
from lexirec.evaluation.metrics import Ranks, ranks_of, summarize

LISTS = "lists.safetensors"
"""File of the kept lists in an evaluation's folder."""
KS = (1, 3, 5, 10, 20, 50)
TIES = "equal scores go to the smaller item number"


@dataclass(frozen=True, eq=False)
class Report:
    """Metrics, ranks and lists of one evaluation, with its protocol.

    Attributes:
        metrics: `recall@k`, `ndcg@k`, `mrr@k`, per item.
        ranks: rank of every case's target, int64 (C,); 0 where the list does not hold it.
        protocol: the protocol card; JSON values only.
        invalid: list positions that are empty although items were left to recommend, or repeat an item.
        short: lists with fewer items than they could hold.
        seconds: time for ranking all cases.
        identifier_metrics: the same metrics when a shared identifier counts as a hit; None without identifiers.
        cases: `user` int64 (C,) and `target` int32 (C,) of the ranks.
        lists: recommended items of every case, (C, k); None where lists were not kept or not read.
    """

    metrics: dict[str, float]
    ranks: Ranks
    protocol: dict[str, Any] = field(default_factory=dict)
    invalid: int = 0
    seconds: float = 0.0
    identifier_metrics: dict[str, float] | None = None
    cases: dict[str, NDArray[Any]] = field(default_factory=dict)
    lists: Ranking | None = None
    short: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return `metrics`, `invalid`, `protocol`, and any `short` and `identifier_metrics`, as plain JSON values."""
        values: dict[str, Any] = {"metrics": self.metrics, "invalid": self.invalid, "protocol": self.protocol}
        values |= {"short": self.short} if self.short else {}
        return values if self.identifier_metrics is None else {**values, "identifier_metrics": self.identifier_metrics}

    def save(self, folder: str | Path, *, keep_lists: int | None = None) -> None:
        """Write `metrics.json` (figures and protocol), `ranks.parquet` (one row per case) and `lists.safetensors`.

        Args:
            folder: target folder; created if absent.
            keep_lists: list positions to keep, 8 bytes per position and case; 0 keeps none, None all.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        columns = {**self.cases, "rank": self.ranks}
        pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), target / "ranks.parquet")
        text = json.dumps({**self.as_json(), "seconds": self.seconds}, indent=2, ensure_ascii=False)
        (target / "metrics.json").write_text(text + "\n", encoding="utf-8")
        (target / LISTS).unlink(missing_ok=True)
        if self.lists is not None and keep_lists != 0:
            kept = {"items": self.lists.items[:, :keep_lists], "scores": self.lists.scores[:, :keep_lists]}
            save_file({name: np.ascontiguousarray(values) for name, values in kept.items()}, target / LISTS)

    @classmethod
    def load(cls, folder: str | Path, *, lists: bool = True) -> Self:
        """Read a saved report; without `lists` only metrics and ranks, which is faster.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        source = Path(folder)
        try:
            values = json.loads((source / "metrics.json").read_text(encoding="utf-8"))
            table = pq.read_table(source / "ranks.parquet")
            cases = {name: table[name].to_numpy() for name in table.column_names}
            ranks = cases.pop("rank")
            of_identifiers = values.get("identifier_metrics")
            facts = (values["protocol"], values["invalid"], values["seconds"], of_identifiers)
            kept = load_file(source / LISTS) if lists and (source / LISTS).is_file() else None
            ranking = None if kept is None else Ranking(kept["items"], kept["scores"])
            return cls(values["metrics"], ranks, *facts, cases, ranking, values.get("short", 0))
        except (OSError, ValueError, KeyError, pa.ArrowException, SafetensorError) as error:
            raise ArtifactError(f"{source}: the evaluation cannot be read ({error}); evaluate again") from None

    def tables(self) -> list[Table]:
        """Return metrics and protocol card as tables for a terminal."""
        return [_metrics_table({str(self.protocol.get("recommender", "")): self}), _protocol_table(self.protocol)]

    def __str__(self) -> str:
        """Return metrics and protocol card as text."""
        return "\n".join(map(_rendered, self.tables()))


def evaluate(
    recommender: Recommender,
    cases: Cases,
    *,
    ks: Sequence[int] = KS,
    exclude_seen: bool = False,
    batch_size: int = 1024,
    protocol: Mapping[str, Any] | None = None,
) -> Report:
    """Rank the whole catalogue for every case and compute the metrics.

    Args:
        recommender: an object with the `Recommender` protocol. Its `protocol` (beams, seed …) goes on the card; where
            it has `identifiers`, or `semantic_ids` that items may share, identifier-level metrics are computed, too.
        cases: one prediction each, such as `split.test`.
        ks: cut-offs of the metrics; lists are as long as the largest.
        exclude_seen: exclude the items that count as seen (`cases.seen`, else those of the history) from a case's list.
            A target in its own history cannot be found then; the card's `targets_seen` counts such cases. Items of
            `cases.never` are always excluded; `targets_left_out` counts all cases whose target is.
        batch_size: cases per batch.
        protocol: further entries of the card, such as `split.protocol` (split, k-core, cap, counts, data digest).

    Raises:
        DataError: there are no cases, or their items are not in the recommender's catalogue; or a list is empty
            although items were left to recommend.
        TrainingError: an item of a list has the score NaN.
    """
    if not hasattr(recommender, "rank"):
        raise DataError(f"recommender is of type {type(recommender).__name__}; pass one that load_recommender returns")
    expect("cases", cases, Cases, "pass cases, such as split.test")
    if not ks or not all(isinstance(k, int | np.integer) and k > 0 for k in ks):
        raise DataError(f"ks are {ks!r}; pass whole numbers of at least 1, such as (5, 10)")
    n_items = len(recommender.catalog)
    check_cases(cases, n_items)
    started = time.monotonic()
    lists = lists_of(recommender, cases, max(ks), exclude_seen, batch_size)
    seconds = round(time.monotonic() - started, 3)
    available = available_items(cases, n_items, exclude_seen)
    check_lists(lists, available)
    ranks = ranks_of(lists.items, cases.targets)
    return Report(
        metrics=summarize(ranks, ks),
        ranks=ranks,
        protocol={**(protocol or {}), **_card(recommender, cases, ks, exclude_seen), **recommender.protocol},
        invalid=invalid_places(lists.items, available),
        short=short_lists(lists.items, available),
        seconds=seconds,
        identifier_metrics=_identifier_metrics(recommender, lists.items, cases, ks),
        cases={"user": cases.users, "target": cases.targets},
        lists=lists,
    )


def metrics_text(reports: Mapping[str, Report], metrics: Sequence[str] | None = None) -> str:
    """Return a table of reports, one row each, as text; by default recall, NDCG and MRR at 5 and 10.

    Args:
        reports: name -> report.
        metrics: names of metrics, such as `recall@10`; a report without one gets an empty cell.
    """
    return _rendered(_metrics_table(reports, metrics))


def _metrics_table(reports: Mapping[str, Report], metrics: Sequence[str] | None = None) -> Table:
    wanted = list(metrics or [f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in (5, 10)])
    table = Table()
    for name in ("recommender", *wanted, "seen items", "invalid"):
        table.add_column(name, justify="right" if name in wanted else "left", overflow="fold")
    for name, report in reports.items():
        figures = [f"{report.metrics[metric]:.4f}" if metric in report.metrics else "" for metric in wanted]
        table.add_row(Text(name), *figures, _seen(report), _invalid(report))
    return table


def _invalid(report: Report) -> str:
    return f"{report.invalid} ({report.short:,} lists too short)" if report.short else str(report.invalid)


def _seen(report: Report) -> str:
    return "excluded" if report.protocol.get("exclude_seen") else "included"


def protocol_text(protocol: Mapping[str, Any]) -> str:
    """Return the protocol card as text: one line per entry."""
    return _rendered(_protocol_table(protocol))


def _protocol_table(protocol: Mapping[str, Any]) -> Table:
    table = Table("protocol", Column(overflow="fold"))
    for name, value in protocol.items():
        table.add_row(Text(name.replace("_", " ")), Text(_in_words(value)))
    return table


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        parts = {name: f"({_in_words(each)})" if isinstance(each, Mapping) else each for name, each in value.items()}
        return ", ".join(f"{name} {_in_words(part)}" for name, part in parts.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _rendered(table: Table) -> str:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(table)
    written: str = console.file.getvalue()  # type: ignore[attr-defined]
    return written.rstrip()


def _card(recommender: Recommender, cases: Cases, ks: Sequence[int], exclude_seen: bool) -> dict[str, Any]:
    return {
        "cases": len(cases),
        "candidates": len(recommender.catalog),
        "list_length": max(ks),
        "level": "item",
        "exclude_seen": exclude_seen,
        "targets_seen": _targets_seen(cases),
        **_left_out(cases, exclude_seen),
        "ties": TIES,
        "catalog": recommender.catalog.digest,
        "cases_digest": _digest(cases),
    }


def _left_out(cases: Cases, exclude_seen: bool) -> dict[str, Any]:
    """Return what the card says of lists that leave out more, or less, than the items of histories."""
    if cases.seen is None and cases.never is None:
        return {}
    return {"targets_left_out": targets_left_out(cases, exclude_seen)}


def _targets_seen(cases: Cases) -> int:
    """Number of targets that occur in their own history."""
    rows = np.repeat(np.arange(len(cases)), cases.histories.lengths)
    return len(np.unique(rows[cases.histories.items == cases.targets[rows]]))


def _digest(cases: Cases) -> str:
    total = hashlib.sha256()
    arrays: list[NDArray[Any]] = [cases.users, cases.targets, cases.histories.items, cases.histories.offsets]
    for name, rows in (("seen", cases.seen), ("never", cases.never)):
        arrays += [] if rows is None else [np.frombuffer(name.encode(), np.uint8), rows.items, rows.offsets]
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes() + b"\0")
    return total.hexdigest()


def _identifier_metrics(
    recommender: Recommender, lists: NDArray[np.int32], cases: Cases, ks: Sequence[int]
) -> dict[str, float] | None:
    names: NDArray[np.int32] | None = getattr(recommender, "semantic_ids", None)
    if names is None and hasattr(recommender, "identifiers"):
        names = recommender.identifiers.tokens
    if names is None:
        return None
    group = np.unique(names, axis=0, return_inverse=True)[1].ravel()
    of_lists = np.where(lists >= 0, group[np.maximum(lists, 0)], -1)
    return summarize(ranks_of(of_lists, group[cases.targets]), ks)
