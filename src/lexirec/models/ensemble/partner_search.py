"""A memory tuned in its place: its settings are searched for what the product with the other parts is worth.

A memory that is better alone is not the better partner: what it gained, the network may know already. So a trial counts
anew with other settings, chooses the weights of the product, and is worth NDCG@10 of validation cases. What the other
parts say does not depend on the trial: they are asked once about all items, and a trial costs what the memory costs.

Our own measurement (docs/log/). Legend: `C` cases, `K` candidates, `I` items.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import SettingsError
from lexirec.core.progress import Progress, quiet
from lexirec.core.search_space import Value
from lexirec.core.store import write_json
from lexirec.data.neighbors import Neighbors, nearest
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.models.baselines.memory import Memory, MemorySettings, text_neighbors
from lexirec.models.distillation import shares
from lexirec.models.ensemble.candidates import Part, batches, best, gathered, union
from lexirec.models.ensemble.settings import EnsembleSettings, PartnerSettings
from lexirec.models.ensemble.weights import Candidates, Floats, choose_weights, chosen_cases, drawn, support_of, weighed
from lexirec.training.hyperparameter_search import Journal


@dataclass(frozen=True)
class PartnerTrial:
    """What was tried, and what the product was worth with it.

    Attributes:
        number: from 0; the first has the part's own settings.
        params: setting of the memory -> value.
        value: NDCG@10 of the product on all cases of the search.
        halves: the same on the cases of users of even and of odd numbers; nan where there are none.
        seconds: what the trial took.
    """

    number: int
    params: Mapping[str, Value]
    value: float
    halves: tuple[float, float]
    seconds: float


@dataclass(frozen=True)
class Partner:
    """What a search found.

    Attributes:
        memory: fitted with the settings of the best trial.
        trials: all of them, in order.
        cases: on how many they were judged.
    """

    memory: Memory
    trials: Sequence[PartnerTrial]
    cases: int

    @property
    def best(self) -> PartnerTrial:
        """The best trial, the first of equal ones."""
        return _best(self.trials)

    @property
    def held_out(self) -> float:
        """What the search is worth where it did not look: each half of the users with the best trial of the other."""
        by_odd = max(self.trials, key=lambda trial: (trial.halves[1], -trial.number))
        by_even = max(self.trials, key=lambda trial: (trial.halves[0], -trial.number))
        return (by_odd.halves[0] + by_even.halves[1]) / 2


def _best(trials: Sequence[PartnerTrial]) -> PartnerTrial:
    return max(trials, key=lambda trial: (trial.value, -trial.number))


def find_partner(
    names: Sequence[str],
    parts: Sequence[Part],
    settings: EnsembleSettings,
    split: Split,
    folder: Path,
    *,
    texts: Sequence[str] | None = None,
    vectors: NDArray[np.floating[Any]] | None = None,
) -> Partner:
    """Search the settings of a memory for what its product with the other parts is worth.

    Args:
        names: of the parts, the lead's first.
        parts: the lead first, `settings.partner.part` among the others.
        settings: of the fusion.
        split: the memory counts its training part, and is judged on validation cases.
        folder: where readings and trials are kept; a search that was cut off is carried on there.
        texts: one per item, over which counts are smoothed; as `Memory.fit` has them.
        vectors: (I, d), the same; neither leaves counts as they are.

    Raises:
        SettingsError: the part is the lead or no memory, or optuna is not installed.
        DataError: there is no case to choose on, or the texts have no words in common.
    """
    wanted = settings.partner
    if wanted is None:
        raise ValueError("settings without a partner: there is nothing to search")
    place = names.index(wanted.part)
    own = getattr(getattr(parts[place].recommender, "scorer", None), "settings", None)
    if not isinstance(own, MemorySettings):
        raise SettingsError(f"fusion.partner.part = '{wanted.part}' is no memory; name one of `kind = \"memory\"`")
    if not place:
        raise SettingsError(
            f"fusion.partner.part = '{wanted.part}' is the lead, whose partner is searched; name another part first"
        )
    kept = folder / "trials"
    kept.mkdir(parents=True, exist_ok=True)
    # opened first, so that nothing was read in vain where optuna is missing
    journal = Journal(kept / "journal.jsonl", wanted.part, wanted.space, seed=wanted.seed, joint=True)
    cases = drawn(chosen_cases(settings, split)[0], wanted.cases, wanted.seed)
    readings = _Readings(folder / "readings", cases, settings)
    for name, part in zip(names, parts, strict=True):
        if name != wanted.part:
            readings.add(name, part)
    widest = max(wanted.space["neighbors"].ends) if "neighbors" in wanted.space else own.neighbors
    neighbors = _alike(int(widest), texts, vectors)

    def memory(tried: MemorySettings) -> Memory:
        return Memory(tried).fit(split.train, split.n_items, neighbors=neighbors)

    judge = _Judge(names, parts, place, settings, split, readings)
    trials = _trials(wanted, own, lambda tried: judge.gains(memory(tried)), cases, journal, kept)
    return Partner(memory(_changed(own, _best(trials).params)), trials, len(cases))


def _alike(k: int, texts: Sequence[str] | None, vectors: NDArray[np.floating[Any]] | None) -> Neighbors | None:
    """Find every item's k nearest once; a trial uses the first of them."""
    if vectors is not None:
        return nearest(vectors, k)
    return None if texts is None else text_neighbors(texts, k)


def _changed(own: MemorySettings, params: Mapping[str, Value]) -> MemorySettings:
    return MemorySettings.model_validate(
        {**{name: getattr(own, name) for name in MemorySettings.model_fields}, **params}
    )


# -------------------------------------------------------------------------------------------------------- the trials


def _trials(
    settings: PartnerSettings,
    own: MemorySettings,
    gains: Callable[[MemorySettings], Floats],
    cases: Cases,
    journal: Journal,
    folder: Path,
) -> list[PartnerTrial]:
    """Run the trials that are not yet written down; return all."""
    trials = [_read(path) for path in sorted(folder.glob("*.json"))]
    journal.settle({trial.number: trial.value for trial in trials})
    first = {name: getattr(own, name) for name, each in settings.space.items() if each.holds(getattr(own, name))}
    even = cases.users % 2 == 0
    with Progress("Searching a partner", total=settings.trials) as progress:
        progress.advance(min(len(trials), settings.trials))
        while len(trials) < settings.trials:
            started = time.monotonic()
            number, params = journal.next(first)
            worth = gains(_changed(own, params))
            halves = tuple(float(worth[half].mean()) if half.any() else float("nan") for half in (even, ~even))
            taken = round(time.monotonic() - started, 3)
            trial = PartnerTrial(number, params, float(worth.mean()), (halves[0], halves[1]), taken)
            write_json(folder / f"{number:04}.json", asdict(trial))
            journal.tell(number, trial.value)
            trials.append(trial)
            progress.advance()
            progress.update(f"best {max(each.value for each in trials):.4f}, at first {trials[0].value:.4f}")
    return trials


def _read(path: Path) -> PartnerTrial:
    told = json.loads(path.read_text(encoding="utf-8"))
    return PartnerTrial(**{**told, "halves": tuple(told["halves"])})


class _Readings:
    """What the parts that stay say of all items and which they put forward, in blocks of cases, on disk."""

    def __init__(self, folder: Path, cases: Cases, settings: EnsembleSettings) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._settings = folder, settings
        self.cases, self.blocks = cases, list[NDArray[np.int64]]()
        self._told: list[list[NDArray[np.float32]]] = []
        self._lists: list[list[NDArray[np.int32]]] = []

    def add(self, name: str, part: Part) -> None:
        """Ask a part about all cases, or find what it said."""
        n_items = len(part.recommender.catalog)
        self.blocks = list(batches(len(self.cases), n_items))
        told, lists, unseen = list[NDArray[np.float32]](), list[NDArray[np.int32]](), self._settings.seen == "excluded"
        with Progress(f"Reading {name}", total=len(self.cases)) as progress:
            for number, rows in enumerate(self.blocks):
                path, histories = self._folder / f"{name}-{number:04}.npy", self.cases.histories.take(rows)
                if not path.is_file():
                    partial = path.with_name(f".{path.name}")
                    with quiet():
                        np.save(partial, _said(part, histories, self._settings), allow_pickle=False)
                    partial.replace(path)
                told.append(np.load(path, mmap_mode="r", allow_pickle=False))
                lists.append(best(told[-1], histories, self._settings.depth, unseen))
                progress.advance(len(rows))
        self._told.append(told)
        self._lists.append(lists)

    def of(self, block: int) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int32]]]:
        """Return what each part says (rows, I) and puts forward (rows, depth) in a block."""
        return [told[block] for told in self._told], [lists[block] for lists in self._lists]


def _said(part: Part, histories: Sequences, settings: EnsembleSettings) -> Floats:
    """Return what a part says of all items; a generative one in one step where that knows them, else by its search."""
    if part.searcher is not None and part.searcher.flat:
        return part.searcher.item_log_probabilities(histories)
    return part.read(histories, settings.reach, exclude_seen=settings.seen == "excluded")


class _Judge:
    """Says what the product is worth with one memory or another."""

    def __init__(
        self,
        names: Sequence[str],
        parts: Sequence[Part],
        place: int,
        settings: EnsembleSettings,
        split: Split,
        readings: _Readings,
    ) -> None:
        self._names, self._parts, self._place, self._settings = names, parts, place, settings
        self._readings, self._support = readings, support_of(split.train, split.n_items)

    def gains(self, memory: Memory) -> Floats:
        """Return what each case gains under the best weights: (C,)."""
        found = self._candidates(memory)
        weights = choose_weights(found, self._names[1:], self._settings, self._support)
        return found.gains(weighed(found, weights.option, weights.values, weights.edges))

    def _candidates(self, memory: Memory) -> Candidates:
        settings, readings = self._settings, self._readings
        blocks: list[tuple[NDArray[np.int32], list[NDArray[Any]]]] = []
        for number, rows in enumerate(readings.blocks):
            histories = readings.cases.histories.take(rows)
            told, lists = readings.of(number)
            tried = shares(memory.scores(histories))
            items = union([*lists, best(tried, histories, settings.depth, settings.seen == "excluded")])
            columns = np.maximum(items, 0)
            told.insert(self._place, tried)
            blocks.append((items, [np.take_along_axis(each, columns, axis=1) for each in told]))
        return gathered(blocks, self._parts, readings.cases, settings, self._support)
