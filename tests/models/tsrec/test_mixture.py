from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from lexirec.data.sequences import Sequences
from lexirec.models.tsrec.examples import Examples
from lexirec.models.tsrec.mixture import TaskTexts, make_examples, mixture
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.settings import TaskSettings, TSRecPromptSettings
from lexirec.nn.ragged import Ragged
from lexirec.testing import circle_walks
from tests.worlds.tsrec_shop import ITEMS, identifiers, tokenizer


def examples(task: str, first: int, count: int) -> Examples:
    numbers = range(first, first + count)
    return Examples(
        Ragged.from_lists([[number] * (number % 3 + 1) for number in numbers]),
        Ragged.from_lists([[number, 1] for number in numbers]),
        torch.tensor(list(numbers)),
        Sequences.from_lists([[number] * (number % 2) for number in numbers]),
        task,
        dropped={"no text": 2},
    )


ONE, TWO = examples("one", 0, 10), examples("two", 100, 30)


def numbers(mixed: Examples) -> list[int]:
    """Return the rows' numbers after checking that all parts of a row still belong together."""
    found = mixed.items.tolist()
    for row, number in enumerate(found):
        assert mixed.prompts.row(row) == [number] * (number % 3 + 1)
        assert mixed.targets.row(row) == [number, 1]
        assert mixed.histories.row(row).tolist() == [number] * (number % 2)
        assert mixed.names[int(mixed.kinds[row])] == ("two" if number >= 100 else "one")
    return found


def test_weights_repeat_and_sample_rows():
    mixed = mixture([ONE, TWO], {"one": 2.5, "two": 0.1}, seed=3)
    found = numbers(mixed)
    times = np.bincount([number for number in found if number < 100], minlength=10)
    assert sorted(times) == [2] * 5 + [3] * 5
    sampled = [number for number in found if number >= 100]
    assert len(sampled) == len(set(sampled)) == 3
    assert mixed.counts == {"one": 25, "two": 3}
    assert mixed.task == "one+two"
    assert mixed.dropped == {"no text": 4}


def test_weight_nothing_leaves_out_and_unnamed_tasks_stand_once():
    mixed = mixture([ONE, TWO], {"one": 0})
    assert sorted(numbers(mixed)) == list(range(100, 130))
    assert mixed.names == ("two",)
    assert len(mixture([ONE], {"one": 0})) == 0


def test_order_is_mixed_and_follows_the_seed():
    first, same, other = (numbers(mixture([ONE, TWO], {}, seed=seed)) for seed in (5, 5, 6))
    assert first == same != other
    assert sorted(first) == sorted(other)
    assert len({number // 100 for number in first[:10]}) == 2
    assert numbers(mixture([ONE, TWO], {}, seed=(5, 1))) != first


def test_a_row_keeps_the_training_row_it_is_of():
    one = replace(ONE, sources=torch.arange(10) + 500)
    mixed = mixture([one, TWO], {"one": 1.5}, seed=3)
    expected = [number + 500 if number < 100 else -1 for number in mixed.items.tolist()]
    assert mixed.sources.tolist() == expected
    assert mixed.take(np.array([4, 0])).sources.tolist() == [expected[4], expected[0]]
    assert mixture([ONE, TWO], {}).sources is None


def test_answers_end_where_the_model_does(caplog):
    chosen = TSRecPromptSettings(frame="plain", max_history=3)
    walks, titles = (
        circle_walks(ITEMS, shoppers=5),
        TaskTexts([f"{'long title ' * item} {item}" for item in range(ITEMS)]),
    )
    weights = TaskSettings(history_title=1, ts_align=0)
    positions = 24
    held = PromptBuilder(tokenizer(), identifiers(), chosen, positions)
    cut = make_examples(held, walks, titles, weights)
    whole = make_examples(PromptBuilder(tokenizer(), identifiers(), chosen), walks, titles, weights)
    lengths = cut.prompts.lengths + cut.targets.lengths
    assert int(lengths.max()) == positions
    assert int((whole.prompts.lengths + whole.targets.lengths).max()) > positions
    assert "answers are cut: the backbone has 24 positions" in caplog.text
    assert set(cut.targets.lengths[cut.items >= 0].tolist()) == {2}  # identifiers are whole
    assert int(cut.targets.lengths.min()) > 0
