"""Our lists beside those of `transformers`' own `generate`, with random weights (GRAM's way of ranking, spec §9)."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from lexirec.data.loading import DataSettings, read_data, split_data
from lexirec.data.sequences import Sequences
from lexirec.models.gram.recommender import GramInputs, GramRecommender
from lexirec.models.gram.settings import GramNetworkSettings, GramSettings, PromptSettings
from lexirec.nn.search import SearchSettings
from lexirec.nn.t5 import BackboneSettings, load_backbone
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.published import read_published
from lexirec.testing import tiny_catalog
from tests.worlds.tables import random_identifiers

WIDTH = 50
END = 1
ROUNDING = 2e-6
HISTORY = 20
SMALL = BackboneSettings(
    name="scratch:tiny", d_model=32, heads=2, feed_forward=64, vocabulary_size=256, dropout=0, residual_scale=1
)
PAPER = GramSettings(
    network=GramNetworkSettings(
        max_history=HISTORY, user_prompt="identifiers", head="vocabulary", likelihood="vocabulary"
    ),
    prompts=PromptSettings(layout="paper", parts=("item", "metadata"), max_length=16),
    search=SearchSettings(num_beams=WIDTH, length_penalty=1.0),
)


class Theirs(NamedTuple):
    """What `generate` returned: per user, item numbers and scores, best first."""

    items: np.ndarray
    scores: np.ndarray


def fused(model: GramRecommender, histories: Sequences) -> tuple[Tensor, Tensor]:
    """Encode every prompt with the stock encoder, add positions, and put each user's states in a line."""
    network: Any = model.model
    t5: T5ForConditionalGeneration = model.backbone.model
    table, lines = network.positions.weight, []
    for history in (histories.row(i)[-HISTORY:][::-1] for i in range(len(histories))):
        ids, _ = network._user_prompts(torch.from_numpy(history.copy()).long()[None])
        prompts = [ids[0], *(torch.tensor(network._item_prompts.row(int(item))) for item in history)]
        padded = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True).long()
        mask = torch.arange(padded.shape[1]) < torch.tensor([[len(prompt)] for prompt in prompts])
        states = t5.encoder(input_ids=padded, attention_mask=mask.long()).last_hidden_state
        lines.append((states + table[: len(prompts), None])[mask])
    states = torch.nn.utils.rnn.pad_sequence(lines, batch_first=True)
    return states, torch.arange(states.shape[1]) < torch.tensor([[len(line)] for line in lines])


def nested(rows: np.ndarray) -> dict[int, Any]:
    """Return identifiers, each with its end, as nested dictionaries; the item stands behind the end."""
    root: dict[int, Any] = {}
    for item, row in enumerate(rows.tolist()):
        node = root
        for token in [token for token in row if token >= 0] + [END]:
            node = node.setdefault(token, {})
        node["item"] = item
    return root


def generated(model: GramRecommender, histories: Sequences, batch: int) -> Theirs:
    """Rank by stock beam search, restricted by a trie."""
    trie = nested(model.identifiers.tokens)

    def below(tokens: list[int]) -> dict[Any, Any]:
        node = trie
        for token in tokens:
            node = node.get(token, {})
        return node

    def legal(row: int, tokens: Tensor) -> list[int]:
        return [token for token in below(tokens[1:].tolist()) if token != "item"] or [0]

    items, scores = [], []
    for first in range(0, len(histories), batch):
        states, mask = fused(model, histories.take(np.arange(first, min(first + batch, len(histories)))))
        out = model.backbone.model.generate(
            encoder_outputs=BaseModelOutput(states),
            attention_mask=mask.long(),
            num_beams=WIDTH,
            num_return_sequences=WIDTH,
            length_penalty=1.0,
            early_stopping=False,
            do_sample=False,
            max_new_tokens=int((model.identifiers.tokens >= 0).sum(1).max()) + 1,
            prefix_allowed_tokens_fn=legal,
            output_scores=True,
            return_dict_in_generate=True,
        )
        for line in out.sequences[:, 1:].tolist():
            spelled = line[: line.index(END) + 1] if END in line else line
            items.append(below(spelled).get("item", -1))
        scores.append(out.sequences_scores)
    return Theirs(np.array(items).reshape(-1, WIDTH), torch.cat(scores).view(-1, WIDTH).numpy())


def assert_identical(model: GramRecommender, histories: Sequences, batch: int) -> None:
    """Same scores, same items in the same order; where scores tie but for rounding, in any order."""
    with torch.no_grad():
        theirs = generated(model, histories, batch)
    ours = model.rank(histories, k=WIDTH)
    assert (ours.items >= 0).all()
    assert np.abs(ours.scores - theirs.scores).max() <= 1e-4
    equal = (ours.items == theirs.items).all(axis=1)
    assert equal.mean() >= 0.75  # of five lists, rounding may swap near ties of one
    for one, two, scores in zip(ours.items[~equal], theirs.items[~equal], theirs.scores[~equal]):
        runs = np.cumsum(np.diff(scores, prepend=scores[0]) < -ROUNDING)
        for run in range(runs[-1]):  # the last one may go on beyond the list
            assert set(one[runs == run]) == set(two[runs == run])
    assert len({tuple(row) for row in theirs.items.tolist()}) == len(histories)  # histories do matter


def roughened(model: GramRecommender) -> GramRecommender:
    """Make the scores of random weights differ as those of trained ones do."""
    with torch.no_grad():
        model.model.positions.weight.normal_(std=1.0)
    return model


@pytest.mark.parametrize("activation", ["relu", "gated-gelu"])
def test_lists_equal_those_of_generate(activation):
    items = 200
    catalog = tiny_catalog(items)
    rows = random_identifiers(np.random.default_rng(0), items=3000, vocabulary=40, longest=4)[:items]
    names = Identifiers(rows.astype(np.int32), tuple(f"<{number}>" for number in range(40)))
    language = load_backbone(SMALL.model_copy(update={"activation": activation}), texts=catalog.texts())
    model = roughened(GramRecommender.build(catalog, language, GramInputs(names), PAPER))
    random = np.random.default_rng(1)
    histories = Sequences.from_lists([random.integers(0, items, size).tolist() for size in (1, 2, 3, 8, 25)])
    assert_identical(model, histories, batch=5)


@pytest.mark.long
@pytest.mark.data
def test_lists_equal_those_of_generate_with_grams_identifiers_of_beauty(data_dir: Path):
    """One hundred shoppers of Beauty, top 50."""
    folder = data_dir / "beauty"
    settings = DataSettings(
        items=folder / "items.parquet", interactions=folder / "interactions.parquet", text=("title", "brand")
    )
    catalog, interactions = read_data(settings)
    histories = split_data(settings, interactions).test.histories.take(np.arange(0, 22_300, 223))
    names = read_published(folder / "lexical_ids.parquet", catalog, column="gram_lexical_id")
    language = load_backbone(SMALL, texts=catalog.texts()[:500])
    model = roughened(GramRecommender.build(catalog, language, GramInputs(names), PAPER))
    assert len(histories) == 100
    assert_identical(model, histories, batch=10)
