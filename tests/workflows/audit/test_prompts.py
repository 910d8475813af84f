"""What is read in training: planted answers in questions, held-out cases among them, windows that hold too much."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from lexirec.core.progress import quiet
from lexirec.data.sequences import Sequences
from lexirec.data.splits import prefix_cases
from lexirec.models.gram.training import Windows
from lexirec.nn.ragged import Ragged, side_by_side
from lexirec.nn.tokenizer import train_tokenizer
from lexirec.semantic_ids.embeddings.svd import LsaSpace
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.workflows.audit import prompts
from tests.worlds.audit import clean_split, evidence, look, looked, shop

CAUSAL = {
    "vectors": {"text": {"dimensions": 16}},
    "codes": {"kind": "residual-kmeans", "levels": 2, "branching": 8},
    "backbone": {"kind": "causal", "name": "scratch:tiny"},
    "model": {"kind": "causal", "prompts": {"frame": "plain"}},
}
GRAM = {
    "vectors": {"text": {"dimensions": 16}},
    "codes": {"kind": "hierarchical-kmeans", "branching": 4, "levels": 3},
    "backbone": {"name": "scratch:tiny"},
    "model": {"kind": "late-fusion"},
}


@cache
def named() -> tuple[object, Identifiers]:
    catalog, _ = shop()
    texts = catalog.texts()
    with quiet():
        vectors = LsaSpace.fit(texts, 16).embed(texts).astype(np.float32)
        codes = ResidualKMeans(levels=2, branching=8).fit(vectors).codes
        return train_tokenizer(texts, vocabulary_size=500), codes_as_tokens(codes)


def asked(settings, **changes):
    tokenizer, identifiers = named()
    return evidence(tokenizer=tokenizer, identifiers=identifiers, settings=settings, **changes)


def rows(*lists: list[int]) -> Ragged:
    return Ragged.from_lists(lists)


def test_answers_are_found_whole_and_unbroken_and_within_their_row():
    prompts_ = rows([5, 1, 2, 3], [1, 2], [3, 1, 9, 2, 3], [7, 7, 8], [1, 2, 3], [4])
    answers = rows([1, 2, 3], [1, 2, 3], [1, 2, 3], [7, 8], [3], [])
    assert prompts.spelled_in(prompts_, answers).tolist() == [True, False, False, True, True, False]
    assert prompts.spelled_in(rows([1], [2, 3]), rows([1, 2], [3])).tolist() == [False, True]


@pytest.mark.parametrize("settings", [CAUSAL, GRAM])
def test_the_familys_own_questions_hold_no_answers(settings):
    found = looked("training-prompts", asked(settings))
    assert found.findings == []
    assert "training-prompts" in found.asked


def test_questions_that_are_no_texts_are_not_looked_at():
    grounded = GRAM | {"model": {"kind": "late-fusion", "network": {"head": "grounded", "user_prompt": "grounded"}}}
    assert "training-prompts" in looked("training-prompts", asked(grounded)).not_looked_at
    assert "training-prompts" in looked("training-prompts", evidence()).not_looked_at


def test_planted_answers_in_questions(monkeypatch):
    made = prompts.training_examples

    def leaky(given):
        for task, examples in made(given):
            yield task, replace(examples, prompts=side_by_side([examples.prompts, examples.targets]))

    monkeypatch.setattr(prompts, "training_examples", leaky)
    found = look("training-prompts", asked(CAUSAL))
    assert {each.severity for each in found} == {"leak"}
    assert {"next_item", "sid_title"} <= {
        task for task in ("next_item", "sid_title") for each in found if task in each.found
    }


def test_planted_held_out_cases_among_the_questions(monkeypatch):
    split, made = clean_split(), prompts.training_examples
    leaky_rows = Sequences.from_lists(
        [[*split.test.histories.row(i).tolist(), int(split.test.targets[i])] for i in range(50)]
    )

    def leaky(given):
        yield from made(replace(given, split=replace(split, train=leaky_rows)))

    monkeypatch.setattr(prompts, "training_examples", leaky)
    found = look("training-prompts", asked(CAUSAL))
    assert {each.severity for each in found} == {"leak"}
    assert any("held-out targets" in each.found for each in found)


def test_planted_windows_that_hold_test_successions(monkeypatch):
    split = clean_split()
    assert look("training-windows", asked(GRAM)) == []
    whole = Sequences.from_lists(
        [[*split.test.histories.row(i).tolist(), int(split.test.targets[i])] for i in range(50)]
    )
    monkeypatch.setattr(
        "lexirec.models.gram.training.packed_windows",
        lambda train, max_history: Windows(whole, np.ones(len(whole), dtype=np.int64), np.arange(len(whole))),
    )
    (found,) = look("training-windows", asked(GRAM))
    assert found.severity == "leak"
    assert "test successions" in found.found


def test_late_fusion_examples_are_the_training_prefixes():
    given = asked(GRAM)
    ((task, examples),) = prompts.training_examples(given)
    assert task == "user prompt"
    cases = prefix_cases(clean_split().train, 20)
    assert torch.equal(examples.items, torch.from_numpy(cases.targets.astype(np.int64)))
