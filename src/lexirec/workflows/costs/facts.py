"""What the cost of an experiment depends on: its rows, its items' texts in tokens, the length of its identifiers.

All of it is read from the data where they are there. Where they are not, typical ones are drawn, and the plan says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from lexirec.core.errors import DataError, LexirecError
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.nn.backbone_folder import local_files
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal_tokenizer
from lexirec.nn.t5 import load_tokenizer
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.graph import VERSIONS
from lexirec.pipeline.item_stages import data_files
from lexirec.pipeline.run import plan_experiment
from lexirec.pipeline.runner import StageRunner
from lexirec.pipeline.stages.data import load_catalog, load_split, prepare_data
from lexirec.pipeline.stages.evaluation import measured_cases
from lexirec.pipeline.stages.identifiers import load_saved_tokenizer
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.published import PublishedIdentifiers, read_published, read_semantic_ids
from lexirec.semantic_ids.quantizers.published_codes import PublishedCodes

USERS, ITEMS, EVENTS = 20_000, 12_000, 7.0
"""Typical data, where an experiment's are not there: users, items, training events of a user."""
LETTERS = {"title": 70, "description": 500}
"""Letters of typical texts; other fields have `OTHER_LETTERS`."""
OTHER_LETTERS = 45
LETTERS_A_TOKEN = {"encoder-decoder": 3.5, "causal": 4.2}
"""Letters of a token of English product texts: T5's pieces on Beauty's titles and categories have 3.5 and 3.1 (counted
by others with its tokenizer); byte-level pieces of vocabularies of 150,000 are longer."""
SCRATCH_LETTERS = 5.0
"""The same of scratch backbones, whose pieces are trained on the catalogue itself, most of them whole words."""
SAMPLE = 512


@dataclass(frozen=True, eq=False)
class Facts:
    """Rows and texts of an experiment.

    Attributes:
        train: training rows of item numbers, oldest first.
        n_items: size of the catalogue.
        catalog: the catalogue; None where the data are not there.
        fields: names of the text fields.
        validation: number of validation cases.
        test: number of evaluated cases.
        identifier: mean tokens of an identifier.
        notes: what was assumed.
    """

    train: Sequences
    n_items: int
    catalog: Catalog | None
    fields: tuple[str, ...]
    validation: int
    test: int
    identifier: float
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Prefixes of the training rows, so next items to predict in an epoch."""
        return int(np.maximum(self.train.lengths - 1, 0).sum())

    def mean_history(self, most: int) -> float:
        """Mean length of the prefixes' histories, each capped at `most`."""
        longest = int(self.train.lengths.max(initial=1))
        sums = np.cumsum(np.minimum(np.arange(longest + 1), most))
        return float(sums[np.maximum(self.train.lengths - 1, 0)].sum() / max(self.rows, 1))

    def letters(self, field: str) -> NDArray[np.float64]:
        """Letters of every item's text in a field."""
        if self.catalog is None:
            return np.full(self.n_items, float(LETTERS.get(field, OTHER_LETTERS)))
        return np.array([len(text) for text in self.catalog.field(field)], dtype=np.float64)


class Meter:
    """Counts the tokens of texts: by the tokenizer of a local backbone or of the store, else by their letters."""

    def __init__(self, experiment: Experiment, store: Store) -> None:
        """Load the tokenizer, where there is one."""
        backbone = experiment.backbone
        assert backbone is not None
        self._tokenizer = _stored_tokenizer(experiment, store)
        self.letters = SCRATCH_LETTERS if backbone.scratch else LETTERS_A_TOKEN[backbone.kind]
        if self._tokenizer is None and not backbone.scratch and local_files(backbone.name) is not None:
            if isinstance(backbone, CausalBackboneSettings):
                self._tokenizer = load_causal_tokenizer(backbone)
            else:
                self._tokenizer = load_tokenizer(backbone)
        self.note = "" if self._tokenizer else f"{self.letters:g} letters a token"

    @property
    def pieces(self) -> int | None:
        """Pieces of the tokenizer; None where there is none."""
        return None if self._tokenizer is None else len(self._tokenizer)

    def mean(self, texts: Sequence[str]) -> float:
        """Return the mean number of tokens of texts."""
        if not texts:
            return 0.0
        if self._tokenizer is None:
            return float(np.mean([len(text) for text in texts])) / self.letters
        some = list(texts)[:: -(-len(texts) // SAMPLE)]
        rows = self._tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]
        return float(np.mean([len(row) for row in rows]))

    def rate(self, facts: Facts) -> float:
        """Return the letters of a token in a catalogue's texts."""
        if self._tokenizer is None or facts.catalog is None:
            return self.letters
        texts = facts.catalog.texts()
        sample = texts[:: -(-len(texts) // SAMPLE)]
        return float(np.mean([len(text) for text in sample])) / max(self.mean(sample), 1e-9)


def _stored_tokenizer(experiment: Experiment, store: Store) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer of an earlier run, if the store has it."""
    try:
        stages = plan_experiment(experiment, store, until="tokenizer")
    except LexirecError:  # such as data that are not there
        return None
    made = next((stage for stage in stages if stage.name == "tokenizer" and stage.state == "done"), None)
    return None if made is None else load_saved_tokenizer(made.folder)


def facts_of(experiment: Experiment, store: Store) -> Facts:
    """Read what the cost depends on; the store's own stages are used where it has them."""
    try:
        files = data_files(experiment)
    except DataError:
        return _typical(experiment)
    runner = StageRunner(store, VERSIONS, act=False)
    stage = runner.stage("data", prepare_data, experiment.data, {}, files)
    if stage.state == "done":
        return _read(experiment, stage.folder)
    with tempfile.TemporaryDirectory() as folder:
        prepare_data(experiment.data, files, Path(folder))
        return _read(experiment, Path(folder))


def _read(experiment: Experiment, folder: Path) -> Facts:
    split, catalog = load_split(folder), load_catalog(folder)
    test = len(measured_cases(experiment.evaluation, split))
    length, note = _identifier_length(experiment, catalog)
    return Facts(
        split.train,
        split.n_items,
        catalog,
        catalog.text_fields,
        len(split.validation),
        test,
        length,
        tuple(filter(None, [note])),
    )


def _typical(experiment: Experiment) -> Facts:
    rng = np.random.default_rng(0)
    lengths = 2 + rng.poisson(EVENTS - 2, USERS)
    items = rng.integers(0, ITEMS, int(lengths.sum())).astype(np.int32)
    train = Sequences(items, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    length, note = _identifier_length(experiment, None)
    told = f"the data are not there: {USERS:,} users, {ITEMS:,} items, {EVENTS:g} training events a user"
    sampled = experiment.evaluation.sample_users or USERS
    notes = (told, "typical lengths of texts", *([note] if note else []))
    return Facts(train, ITEMS, None, tuple(experiment.data.text), USERS, min(USERS, sampled), length, notes)


def _identifier_length(experiment: Experiment, catalog: Catalog | None) -> tuple[float, str]:
    """Return the mean tokens of an identifier, and what was assumed."""
    naming, codes = experiment.spelling, experiment.codes
    if isinstance(naming, PublishedIdentifiers):
        if catalog is not None and naming.path.is_file():
            return _mean_length(read_published(naming.path, catalog, column=naming.column)), ""
        return 7.0, "identifiers of 7 tokens"
    if isinstance(codes, PublishedCodes):
        if catalog is not None and codes.path.is_file():
            values = read_semantic_ids(codes.path, catalog, column=codes.column)
            return float((values >= 0).sum(1).mean()), ""
        return 3.0, "semantic IDs of 3 tokens"
    levels = getattr(codes, "levels", None) or getattr(naming, "length", None) or 4
    return float(levels), f"identifiers of {levels} tokens, one a level"


def _mean_length(identifiers: Identifiers) -> float:
    return float((identifiers.tokens >= 0).sum(1).mean())
