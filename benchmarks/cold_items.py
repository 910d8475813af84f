"""What adding items without training is worth: items are held out altogether, added, and recommended.

    python benchmarks/cold_items.py --data office14 --out cold-office14
    python benchmarks/cold_items.py --data industrial18 --out cold-industrial18 --family tsrec --epochs 5

A share of the items, drawn by a seed, is held out with all events. The recipe is trained on the rest, and the held-out
items are added to the finished recommenders (`models.extension`). Measured are the test cases whose target is such an
item, beside text neighbours, popularity among the new items and the same recipe trained with all items; and the other
test cases, before and after the items were added. Nothing is chosen on test cases. The store in the folder keeps what
is trained, so a second call only measures. Prints tables as Markdown and writes `cold_items_FAMILY.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.core.runs import RunRecord, recommenders
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.evaluation.metrics import ranks_of
from lexirec.evaluation.significance import compare_ranks, estimate_ranks
from lexirec.models.baselines.base import history_rows
from lexirec.models.extension.artifacts import artifacts_of
from lexirec.models.extension.changes import ItemChanges
from lexirec.models.extension.encoding import ItemEncoder
from lexirec.models.extension.extend import extend
from lexirec.models.loading import load_recommender
from lexirec.models.ranking_rules import Rules, rank_with_rules
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.run import run_experiment

K = 10
RECIPES = {
    "toy": {"gram": "lexirec:toy-gram.toml", "tsrec": "lexirec:toy-tsrec.toml"},
    "office14": {"gram": "lexirec:office-gram.toml", "tsrec": "lexirec:office-tsrec.toml"},
    "industrial18": {"gram": "lexirec:industrial-gram.toml", "tsrec": "lexirec:industrial-own-codes.toml"},
}
"""Recipe of each data set and family; identifiers are made here, as published ones cannot be given to new items."""
PROTOCOLS = {
    "toy": ("split", "excluded"),
    "office14": ("split_loo", "excluded"),
    "industrial18": ("split", "included"),
}
"""Column of the predefined split, and treatment of seen items of each data set."""
PARTS = ("model", "memory", "fused")
SHARES = (0.0, 0.1, 0.3)
"""Shares of the places that are kept for new items, for what other cases pay."""


@dataclass(frozen=True)
class Choice:
    """What is measured: data set, family, folder, share of held-out items, epochs (None: the recipe's), seed."""

    data: str
    family: str
    out: Path
    share: float
    epochs: int | None
    seed: int
    parts: tuple[str, ...] = PARTS

    @property
    def source(self) -> Path:
        """The folder of the two tables; those of the toy shop are made there."""
        if self.data == "toy":
            return toy_tables(self.out / "all")
        default = Path(__file__).resolve().parents[2] / "shared" / "data"
        return Path(os.environ.get("LEXIREC_DATA", default)) / self.data


def toy_tables(folder: Path) -> Path:
    """Write the toy shop's tables, with the last event of every user for tests and the one before for validation."""
    if not (folder / "interactions.parquet").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        toy_shop(seed=0, items=400, shoppers=900).write(folder)
        events = pq.read_table(folder / "interactions.parquet").sort_by(
            [("user_id", "ascending"), ("time", "ascending")]
        )
        users = np.asarray(events["user_id"].to_pylist())
        ends = np.flatnonzero(np.append(users[1:] != users[:-1], True))
        labels = np.full(len(users), "train", dtype=object)
        labels[np.maximum(ends - 1, 0)], labels[ends] = "valid", "test"
        pq.write_table(events.append_column("split", pa.array(labels.tolist())), folder / "interactions.parquet")
    return folder


def hold_out(choice: Choice) -> list[str]:
    """Write the tables without the held-out items; return the ids of these items."""
    items = pq.read_table(choice.source / "items.parquet")
    events = pq.read_table(choice.source / "interactions.parquet")
    number = round(choice.share * len(items))
    drawn = np.random.default_rng(choice.seed).choice(len(items), number, replace=False)
    held = items["item_id"].take(pa.array(np.sort(drawn)))
    choice.out.mkdir(parents=True, exist_ok=True)
    for name, table in (("items", items), ("interactions", events)):
        kept = table.filter(pc.invert(pc.is_in(table["item_id"], value_set=held.combine_chunks())))
        pq.write_table(kept, choice.out / f"{name}.parquet")
    return [str(each) for each in held.to_pylist()]


def experiment(choice: Choice, folder: Path, name: str) -> Experiment:
    """Return the recipe on the tables of a folder, with the baselines that are compared and an ensemble."""
    recipe = RECIPES[choice.data][choice.family]
    column, seen = PROTOCOLS[choice.data]
    memory = 'baselines.memory={kind="memory", evidence="text"}'
    unseen = 'seen="included", choose_on="unseen"' if seen == "included" else 'seen="excluded"'
    overrides = [
        f"name={name}",
        f"data.items={folder / 'items.parquet'}",
        f"data.interactions={folder / 'interactions.parquet'}",
        'data.kind="tables"',
        'data.text=["title", "brand", "categories", "description"]',
        'data.split.kind="published"',
        f'data.interaction_columns={{split="{column}"}}',
        "baselines={}",
        memory,
        f'ensemble={{of=["model", "memory"], {unseen}}}',
        f'evaluation.seen=["{seen}"]',
        *([f"model.training.epochs={choice.epochs}"] if choice.epochs else []),
    ]
    made = load_experiment(recipe, overrides)
    if "model" in choice.parts:
        return made
    nothing = dict.fromkeys(("model", "backbone", "codes", "identifiers", "neighbors"))
    return made.model_copy(update={**nothing, "ensemble": {}, "vectors": {}})


def train(choice: Choice, which: str) -> RunRecord:
    """Run the recipe on the tables without the held-out items, or on all."""
    folder = choice.out if which == "without" else choice.source
    done = run_experiment(
        experiment(choice, folder, f"{choice.data}-{choice.family}-{which}"), Store(choice.out / "store")
    )
    assert done is not None
    return done


# ------------------------------------------------------------------------------------------------------------ measuring


class World:
    """The test cases of all items, as numbers of a recommender's own catalogue."""

    def __init__(self, choice: Choice, full: Split, catalog: Catalog, held: list[str]) -> None:
        """Take the split and the catalogue of all items, and the ids that were held out."""
        self.full, self.catalog, self.seen = full, catalog, PROTOCOLS[choice.data][1]
        self.new = np.zeros(len(catalog), dtype=np.bool_)
        self.new[catalog.numbers(held)] = True
        self.cold = full.test.take(np.flatnonzero(self.new[full.test.targets]))
        self.warm = full.test.take(np.flatnonzero(~self.new[full.test.targets]))

    def cases_for(self, cases: Cases, catalog: Catalog) -> Cases:
        """Return cases in the numbers of another catalogue; items that it lacks leave the histories."""
        number = catalog.find(self.catalog.item_ids).astype(np.int32)
        histories = cases.histories.where(number[cases.histories.items] >= 0)
        moved = Sequences(number[histories.items], histories.offsets)
        return Cases(cases.users, number[cases.targets], moved)

    def ranks(self, recommender: Recommender, cases: Cases, *, only_new: bool = False) -> NDArray[np.int64]:
        """Rank all items, or only the new ones, for every case, and return the targets' ranks."""
        mine = self.cases_for(cases, recommender.catalog)
        allowed = None
        if only_new:
            allowed = self.new[self.catalog.numbers(recommender.catalog.item_ids)]
        excluded = self.seen == "excluded"
        lists = recommender.rank(mine.histories, k=K, exclude_seen=excluded, allowed=allowed).items
        return ranks_of(lists, mine.targets)

    def kept_places(self, recommender: Recommender, cases: Cases, share: float) -> NDArray[np.int64]:
        """Rank with a share of the places kept for new items, and return the targets' ranks."""
        mine = self.cases_for(cases, recommender.catalog)
        newer = self.new[self.catalog.numbers(recommender.catalog.item_ids)]
        nothing = np.empty(0, dtype=np.int32)
        seen = [mine.histories.row(row) if self.seen == "excluded" else nothing for row in range(len(mine))]
        rules = [Rules(new_items=share, newer=newer)] * len(mine)
        found = rank_with_rules(recommender, mine.histories, [K] * len(mine), rules, seen=seen)
        lists = np.full((len(mine), K), -1, dtype=np.int32)
        for row, each in enumerate(found):
            lists[row, : len(each.items)] = each.items
        return ranks_of(lists, mine.targets)


@dataclass(frozen=True)
class Scores:
    """Scores of a reference as a recommender: a matrix (cases, items) for the cases that are measured."""

    catalog: Catalog
    values: NDArray[np.float32]

    def ranks(self, world: World, cases: Cases, *, only_new: bool = False) -> NDArray[np.int64]:
        """Return the targets' ranks by these scores."""
        scores = self.values.copy()
        if world.seen == "excluded":
            rows = np.repeat(np.arange(len(cases)), cases.histories.lengths)
            scores[rows, cases.histories.items] = -np.inf
        if only_new:
            scores[:, ~world.new] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :K].astype(np.int32)
        best[np.isneginf(np.take_along_axis(scores, best, axis=1))] = -1
        return ranks_of(best, cases.targets)


def references(world: World, encoder: ItemEncoder) -> dict[str, Scores]:
    """Return the references of the cold cases: text neighbours, and popularity among the new items."""
    rows = history_rows(world.cold.histories, len(world.catalog), 0.6)
    vectors = encoder.vectors(world.catalog)
    text = np.asarray(rows @ (vectors @ vectors.T), dtype=np.float32)
    counts = world.full.train.counts(len(world.catalog)).astype(np.float32) + 1
    popular = np.tile(np.where(world.new, counts, 0.0).astype(np.float32), (len(world.cold), 1))
    return {
        "text neighbours of the history": Scores(world.catalog, text),
        "popularity among the new items (counts that only retraining sees)": Scores(world.catalog, popular),
    }


def measure(choice: Choice, held: list[str], *, retrained: bool) -> dict[str, Any]:
    """Measure all systems; returns what the file of figures holds."""
    store = Store(choice.out / "store")
    without = train(choice, "without")
    full = run_experiment(experiment(choice, choice.source, f"{choice.data}-{choice.family}-all"), store, until="data")
    assert full is None
    data = next(
        path for path in store.artifacts("data") if len(Catalog.load(path / "catalog")) > len(_catalog(without))
    )
    world = World(choice, Split.load(data / "split"), Catalog.load(data / "catalog"), held)
    rows = world.catalog.table.take(pa.array(np.flatnonzero(world.new)))
    systems: dict[str, Recommender] = {}
    before: dict[str, Recommender] = {}
    refused: dict[str, int] = {}
    encoder = None
    for name in choice.parts:
        stage = recommenders(without)[name]
        artifacts = artifacts_of(store, stage.folder)
        before[name] = load_recommender(stage.folder)
        extended = extend(before[name], ItemChanges(rows), artifacts)
        systems[f"{name}, items added"], refused[name] = extended.recommender, len(extended.refused)
        encoder = encoder or ItemEncoder(artifacts, {})
    assert encoder is not None
    if retrained:
        again = train(choice, "all")
        systems |= {
            f"{name}, trained with them": load_recommender(recommenders(again)[name].folder) for name in choice.parts
        }
    found: dict[str, Any] = {
        "data": choice.data,
        "family": choice.family,
        "share": choice.share,
        "seed": choice.seed,
        "epochs": choice.epochs,
    }
    found |= {"new_items": len(held), "refused": refused, "cold_cases": len(world.cold), "warm_cases": len(world.warm)}
    for block, only in (("cold", False), ("cold, new items alone", True)):
        ranks = {name: world.ranks(each, world.cold, only_new=only) for name, each in systems.items()}
        ranks |= {n: each.ranks(world, world.cold, only_new=only) for n, each in references(world, encoder).items()}
        found[block] = table(block, ranks, world.cold.users)
    warm = {f"{name}, before": world.ranks(each, world.warm) for name, each in before.items()}
    for name in choice.parts:
        grown = systems[f"{name}, items added"]
        warm |= {
            f"{name}, share {share:g} of new items": world.kept_places(grown, world.warm, share) for share in SHARES
        }
    found["warm"] = table("warm", warm, world.warm.users)
    print("\nNDCG against before the items were added\n")
    for name in choice.parts:
        for share in SHARES:
            row = f"{name}, share {share:g} of new items"
            lost = compare_ranks(warm[row], warm[f"{name}, before"], world.warm.users)
            found["warm"][row]["against before"] = [lost.value, *lost.interval]
            print(f"- {row}: {lost.value:+.4f} [{lost.interval[0]:+.4f}, {lost.interval[1]:+.4f}]")
    for name in choice.parts:
        grown = systems[f"{name}, items added"]
        shared = {f"{name}, share {share:g}": world.kept_places(grown, world.cold, share) for share in SHARES}
        found[f"cold, {name}, places kept"] = table(f"cold, {name}, places kept", shared, world.cold.users)
    return found


def _catalog(run: RunRecord) -> Catalog:
    return Catalog.load(run.stages["data"].folder / "catalog")


def table(title: str, ranks: dict[str, NDArray[np.int64]], users: NDArray[np.int64]) -> dict[str, Any]:
    """Print recall and NDCG with 95 % intervals by user bootstrap, and return them."""
    print(f"\n{title} ({len(users):,} cases)\n\n| system | recall@{K} | NDCG@{K} |\n|---|---|---|")
    rows: dict[str, Any] = {}
    for name, each in ranks.items():
        cells = {}
        for metric in ("recall", "ndcg"):
            found = estimate_ranks(each, users, metric=metric, k=K)
            cells[f"{metric}@{K}"] = [found.value, *found.interval]
        rows[name] = cells
        shown = (f"{value:.4f} [{low:.4f}, {high:.4f}]" for value, low, high in cells.values())
        print(f"| {name} | {' | '.join(shown)} |")
    return rows


def main() -> None:
    """Read the arguments, train what the store lacks, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=sorted(RECIPES), default="office14")
    parser.add_argument("--family", choices=("gram", "tsrec"), default="gram")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables, the store and the figures")
    parser.add_argument("--share", type=float, default=0.1, help="share of the items that are held out")
    parser.add_argument("--epochs", type=int, help="epochs of the model; by default the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of the items")
    parser.add_argument("--memory-alone", action="store_true", help="leave out the model and the ensemble")
    parser.add_argument("--without-retraining", action="store_true", help="leave out the recipe trained with all items")
    parser.add_argument("--train-only", action="store_true", help="train, and measure in a later call")
    given = parser.parse_args()
    parts = ("memory",) if given.memory_alone else PARTS
    choice = Choice(given.data, given.family, given.out.resolve(), given.share, given.epochs, given.seed, parts)
    held = hold_out(choice)
    if given.train_only:
        train(choice, "without")
        if not given.without_retraining:
            train(choice, "all")
        sys.exit()
    figures = measure(choice, held, retrained=not given.without_retraining)
    name = "cold_items_memory.json" if given.memory_alone else f"cold_items_{given.family}.json"
    (choice.out / name).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
