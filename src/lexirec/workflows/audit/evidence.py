"""Evidence of an audit: tables, split and artifacts of an experiment, as far as they exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences
from lexirec.data.splits import HELD_BACK, TEST, TRAIN, VALIDATION, Cases, Split, held_back
from lexirec.evaluation.evaluator import Report
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.tsrec.keywords import TokenWords
from lexirec.pipeline.experiment import Experiment
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.workflows.audit.findings import NotLookedError
from lexirec.workflows.audit.shortcuts import Shortcuts, measure_shortcuts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Keys = NDArray[np.int64]
_SHOWN = 3


@dataclass(eq=False)
class Evidence:
    """Data and artifacts for the checks; None where absent, with the reason in `missing`.

    Attributes:
        experiment: The settings.
        catalog: The items.
        split: The stage `data`, as the experiment's stages read it.
        interactions: All events, read again from the tables, independently of `split`.
        times: Seconds of the events beside `interactions.sequences.items`, float64 (N,), NaN where unknown.
        vectors: Sources of item vectors by name, float32 (I, d).
        codes: The items' codes.
        semantic_ids: int32 (I, levels), codes that items may share.
        identifiers: Identifiers of the items.
        tokenizer: Tokenizer of the backbone.
        words: Keywords and descriptions of tokens, from a lexicon.
        neighbors: Similar items.
        scorers: Fitted baselines by name.
        recommenders: Folders of all recommenders by name.
        networks: Folders of the networks that neighbours and codes are made of, by stage.
        reports: Evaluations by recommender and seen protocol.
        seeds: Seeds of the finished runs.
        checkpoints: Folders of language models by role.
        missing: Attribute -> reason for its absence.
    """

    experiment: Experiment
    catalog: Catalog
    split: Split
    interactions: Interactions | None = None
    times: NDArray[np.float64] | None = None
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    codes: Codes | None = None
    semantic_ids: NDArray[np.int32] | None = None
    identifiers: Identifiers | None = None
    tokenizer: PreTrainedTokenizerBase | None = None
    words: Sequence[TokenWords] = ()
    neighbors: Neighbors | None = None
    scorers: Mapping[str, ScoreRecommender] = field(default_factory=dict)
    recommenders: Mapping[str, Path] = field(default_factory=dict)
    networks: Mapping[str, Path] = field(default_factory=dict)
    reports: Mapping[str, Mapping[str, Report]] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    checkpoints: Mapping[str, Path] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def need(self, name: str) -> Any:
        """Return an attribute that a check requires.

        Raises:
            NotLookedError: it is absent.
        """
        value = getattr(self, name)
        if value is None or (isinstance(value, Mapping | tuple) and not value):
            raise NotLookedError(self.missing.get(name, f"there are no {name.replace('_', ' ')}"))
        return value

    def says(self, setting: str) -> bool:
        """Whether the model or a baseline has a setting of this name, such as `seed` or `epochs`."""
        parts = [self.experiment.model, *self.experiment.baselines.values()]
        return any(f'"{setting}":' in part.model_dump_json() for part in parts if part is not None)

    # ------------------------------------------------------------------------------------------------------- events

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.catalog)

    @cached_property
    def event_users(self) -> Keys:
        """User of each event of the interactions: int64 (N,)."""
        sequences = self.need("interactions").sequences
        return np.repeat(np.arange(len(sequences), dtype=np.int64), sequences.lengths)

    @cached_property
    def event_keys(self) -> Keys:
        """User and item of each event as one number, user × items + item: int64 (N,)."""
        return self.keys(self.event_users, self.need("interactions").sequences.items)

    @cached_property
    def train_keys(self) -> Keys:
        """The same of the training part."""
        train = self.split.train
        return self.keys(np.repeat(self.split.train_users, train.lengths), train.items)

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """Label of each event (training, held out, held back), int8 (N,), recomputed from the rule of the split.

        Raises:
            NotLookedError: the tables are absent, or the rule is unknown.
        """
        interactions, protocol = self.need("interactions"), self.split.protocol
        match protocol.get("split"):
            case "published" if interactions.labels is not None:
                return np.asarray(interactions.labels, dtype=np.int8)
            case "leave-last-out":
                return _last_out(interactions.sequences, float(protocol.get("hold_back", 0)))
            case "global-temporal" if interactions.times is not None:
                labels = np.full(len(interactions.times), TRAIN, dtype=np.int8)
                labels[interactions.times >= protocol["validation_from"]] = VALIDATION
                labels[interactions.times >= protocol["test_from"]] = TEST
                return np.asarray(labels)
            case other:
                raise NotLookedError(f"the held-out events of the split '{other}' cannot be recomputed")

    @cached_property
    def one_test_event_at_the_end(self) -> bool:
        """Whether test events are the last ones of their users, one each, as under leave-one-out."""
        sequences, labels = self.need("interactions").sequences, self.labels
        tests = np.flatnonzero(labels == TEST)
        last = np.zeros(len(labels), dtype=bool)
        last[sequences.offsets[1:][sequences.lengths > 0] - 1] = True
        users = len(np.unique(self.event_users[tests]))
        return bool(len(tests) and last[tests].mean() > 0.99 and len(tests) <= 1.01 * users)

    def keys(self, users: NDArray[Any], items: NDArray[Any]) -> Keys:
        """Return each pair of user and item as one number."""
        return np.asarray(users.astype(np.int64) * self.n_items + items, dtype=np.int64)

    @cached_property
    def shortcuts(self) -> Shortcuts:
        """What counting finds within the training part."""
        return measure_shortcuts(self.split, self.catalog.texts())

    # -------------------------------------------------------------------------------------------------------- names

    def item(self, number: int) -> str:
        """Return an item's id."""
        return str(self.catalog.item_ids[int(number)])

    def user(self, number: int) -> str:
        """Return a user's id, or number where ids are unknown."""
        return str(self.interactions.user_ids[int(number)]) if self.interactions is not None else f"#{number}"

    def case_names(self, cases: Cases, rows: NDArray[Any]) -> tuple[str, ...]:
        """Describe the first few of the given cases."""
        some = np.asarray(rows)[:_SHOWN]
        return tuple(f"user {self.user(cases.users[row])}, target {self.item(cases.targets[row])}" for row in some)

    def event_names(self, events: NDArray[Any]) -> tuple[str, ...]:
        """Describe the first few of the given events."""
        items = self.need("interactions").sequences.items
        return tuple(f"user {self.user(self.event_users[e])}, item {self.item(items[e])}" for e in events[:_SHOWN])

    def pair_names(self, earlier: NDArray[Any], later: NDArray[Any]) -> tuple[str, ...]:
        """Describe the first few pairs of items."""
        pairs = zip(earlier[:_SHOWN], later[:_SHOWN], strict=True)
        return tuple(f"item {self.item(one)} -> item {self.item(other)}" for one, other in pairs)

    def item_names(self, items: NDArray[Any]) -> tuple[str, ...]:
        """Describe the first few items."""
        return tuple(f"item {self.item(item)}" for item in items[:_SHOWN])


def _last_out(sequences: Sequences, share: float) -> NDArray[np.int8]:
    labels = np.full(len(sequences.items), TRAIN, dtype=np.int8)
    ends = sequences.offsets[1:][sequences.lengths >= 3]
    labels[ends - 1], labels[ends - 2] = TEST, VALIDATION
    labels[held_back(sequences, share)] = HELD_BACK
    return labels


def rows_of(cases: Cases) -> Keys:
    """Return the case of each item of all histories: int64 (items of all histories,)."""
    return np.repeat(np.arange(len(cases), dtype=np.int64), cases.histories.lengths)


def times_taken(keys: Keys, values: Keys) -> Keys:
    """Count how often each of `values` occurs in `keys`: int64, as long as `values`."""
    known, counts = np.unique(keys, return_counts=True)
    if not len(known):
        return np.zeros(len(values), dtype=np.int64)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[place] == values, counts[place], 0).astype(np.int64)
