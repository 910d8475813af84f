"""Operations of GRAM: training over packed windows or prefixes, and beam search with the catalogue's encodings at hand.

Legend of the counts of a step: `B` windows, `M` items of a window, `Q` targets of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexirec.models.gram.settings import GramSettings
from lexirec.models.gram.training import batches, packed_windows, windows_per_prefix
from lexirec.models.gram.window_batch import Batch, without_unread
from lexirec.workflows.costs.facts import Facts, Meter
from lexirec.workflows.costs.phase import TRAINED, Phase, self_attention, times
from lexirec.workflows.costs.shapes import Shape

_SAMPLED = 16
"""Batches that are looked at for the counts of a step."""
_LABEL, _SEPARATOR, _TEMPLATE = 3, 1, 8
"""Tokens of a field's label, of a separator, and of the words around a history."""


@dataclass(frozen=True)
class StepCounts:
    """Mean counts of a training step.

    Attributes:
        windows, items, targets: B, M and Q of the padded batch.
        real: targets that are no padding.
        distinct: distinct items, whose prompts are encoded once.
        history: mean items before a target.
        steps: steps of an epoch.
    """

    windows: float
    items: float
    targets: float
    real: float
    distinct: float
    history: float
    steps: int

    @classmethod
    def of(cls, facts: Facts, settings: GramSettings) -> StepCounts:
        """Look at some batches of an epoch."""
        training, most = settings.training, settings.network.max_history
        windows = (packed_windows if training.packed else windows_per_prefix)(facts.train, most)
        parts = batches(windows, training.batch_targets, [training.seed, 0])
        counts = []
        for place in np.unique(np.linspace(0, len(parts) - 1, min(_SAMPLED, len(parts))).round().astype(int)):
            batch = without_unread(Batch(**windows.batch(parts[place])))
            real = batch.targets_BQ >= 0
            before = batch.targets_BQ[real].clamp(max=most)
            distinct = len(np.unique(batch.items_BM[batch.items_BM >= 0].numpy()))
            shape = (*batch.items_BM.shape, batch.targets_BQ.shape[1])
            counts.append((*shape, int(real.sum()), distinct, float(before.float().mean())))
        means: list[float] = np.mean(counts, axis=0).tolist()
        return cls(means[0], means[1], means[2], means[3], means[4], means[5], steps=len(parts))


@dataclass(frozen=True)
class PromptLengths:
    """Tokens of prompts: item prompts (mean and longest), an identifier in a list, and the limit of user prompts."""

    item: float
    longest: float
    listed: float
    user_limit: int

    def user(self, history: float) -> float:
        """Return the tokens of a user prompt with so many items."""
        return min(float(self.user_limit), _TEMPLATE + history * self.listed)


def prompt_lengths(facts: Facts, meter: Meter, settings: GramSettings) -> PromptLengths:
    """Return the lengths of prompts, from the letters of all items' texts."""
    prompts = settings.prompts
    paper = prompts.layout == "paper"
    listed = facts.identifier + _SEPARATOR
    item = np.zeros(facts.n_items)
    if "item" in prompts.parts:
        item += _LABEL + min(facts.identifier, facts.identifier if paper else prompts.identifier_tokens)
    if "similar_items" in prompts.parts and prompts.similar_items:
        similar = prompts.similar_items * listed
        item += _LABEL + min(similar, similar if paper else prompts.similar_tokens)
    if "metadata" in prompts.parts:
        rate = meter.rate(facts)
        letters = [facts.letters(field) for field in prompts.fields or facts.fields]
        metadata = sum((_LABEL + _SEPARATOR) * (each > 0) + each / rate for each in letters)
        item += metadata if paper else np.minimum(metadata, prompts.metadata_tokens)
    item = np.minimum(item, prompts.max_length - 1) + 1 if paper else item + 1
    limit = prompts.max_length if paper else prompts.user_max_length
    return PromptLengths(float(item.mean()), float(item.max(initial=1)), listed, limit)


@dataclass(frozen=True)
class GramWork:
    """The work of one GRAM experiment.

    Attributes:
        shape: of its backbone.
        settings: of the model.
        facts: of its data.
        lengths: of its prompts.
    """

    shape: Shape
    settings: GramSettings
    facts: Facts
    lengths: PromptLengths

    @property
    def _decoded(self) -> float:
        """Decoder steps of an item: its tokens, and the end token under the vocabulary likelihood."""
        return self.facts.identifier + (self.settings.network.likelihood == "vocabulary")

    @property
    def _reads_items(self) -> bool:
        return bool(self.settings.network.item_prompts)

    def _user_tokens(self, history: float) -> float:
        kind = self.settings.network.user_prompt
        return self.lengths.user(history) if kind == "identifiers" else 0.0

    def _encoder(self, prompts: float, tokens: float) -> float:
        """Operations of encoding so many prompts of so many tokens each."""
        shape = self.shape
        attention = self_attention(shape, shape.encoder_layers, prompts * tokens, tokens, causal=False)
        return 2.0 * shape.encoder * prompts * tokens + attention

    def _decoder(self, rows: float, read: float) -> dict[str, float]:
        """Operations of one decoder token for so many rows, each of which reads so many encoded tokens."""
        shape, network = self.shape, self.settings.network
        own = shape.decoder - shape.layers * shape.keys_and_values
        options = shape.vocabulary if network.likelihood == "vocabulary" else self.facts.n_items
        options = options if network.grounded or network.likelihood == "vocabulary" else 256
        return {
            "decoder": 2.0 * own * rows,
            "cross-attention": 4.0 * shape.inner * shape.layers * rows * read,
            "output layer": 2.0 * shape.width * options * rows,
        }

    def training(self) -> Phase:
        """Return the training."""
        counts, shape = StepCounts.of(self.facts, self.settings), self.shape
        user = self._user_tokens(counts.history)
        item_tokens = self.lengths.item * self._reads_items
        fused = counts.windows * counts.items * (self.lengths.longest if self._reads_items else 1.0)
        read = fused / counts.windows + user
        rows = counts.windows * counts.targets * self._decoded
        forward = {"encoder": self._encoder(counts.distinct * self._reads_items, item_tokens)}
        forward["encoder"] += self._encoder(counts.real * (user > 0), user)
        if self.settings.network.user_prompt == "grounded":
            forward["encoder"] += self._encoder(counts.windows, counts.items + 1)
        forward |= self._decoder(rows, read)
        forward["cross-attention"] += 2.0 * shape.layers * shape.keys_and_values * (fused + counts.real * user)
        epochs = self.settings.training.epochs
        steps = epochs * counts.steps // self.settings.training.gradient_accumulation_steps
        encoded = counts.distinct * item_tokens + counts.real * user
        return Phase(
            "training",
            epochs * counts.steps * counts.real,
            encoded / counts.real + self._decoded,
            steps,
            times(TRAINED * epochs * counts.steps, forward),
            {},
            self._kept(encoded, fused + counts.real * user, rows, read),
            TRAINED * epochs * counts.steps * (shape.encoder_layers + shape.layers),
        )

    def _kept(self, encoded: float, fused: float, rows: float, read: float) -> float:
        """Bytes that a step keeps: of the encoder, of keys and values, of attention weights, of the output layer."""
        shape = self.shape
        encoder = encoded * shape.encoder_layers * shape.activation_bytes()
        keys = fused * (shape.layers * 4.0 * shape.inner + 6.0 * shape.width)
        weights = 10.0 * shape.heads * shape.layers * rows * read
        vocabulary = shape.vocabulary if self.settings.network.likelihood == "vocabulary" else 0
        return encoder + keys + weights + rows * (shape.layers * shape.activation_bytes() + 14.0 * vocabulary)

    def search(self, name: str, cases: float, beams: int, catalogues: float) -> Phase:
        """Return the ranking of cases; the catalogue's prompts are encoded so many times."""
        history = self.facts.mean_history(self.settings.network.max_history) + 1
        user, item = self._user_tokens(history), self.lengths.item * self._reads_items
        read = history * item + user
        encoder = catalogues * self._encoder(self.facts.n_items * self._reads_items, item)
        parts = {"encoder": encoder + cases * self._encoder(float(user > 0), user)}
        parts |= times(cases * self._decoded * beams, self._decoder(1.0, read))
        parts["cross-attention"] += cases * 2.0 * self.shape.layers * self.shape.keys_and_values * read
        layers = self.shape.encoder_layers + self.shape.layers * self._decoded
        passes = cases / self.settings.search.batch_size * layers
        return Phase(name, cases, user + self._decoded, 0, {}, parts, passes=passes)

    def phases(self, evaluations: int) -> list[Phase]:
        """Return training, its validations, and the evaluation, which ranks the cases so many times."""
        training = self.settings.training
        validations = training.epochs * training.evals_per_epoch
        users = min(training.validation_users, self.facts.validation)
        search = self.search("validation", validations * users, training.validation_num_beams, validations)
        beams = self.settings.search.num_beams
        return [self.training(), search, self.search("evaluation", evaluations * self.facts.test, beams, evaluations)]
