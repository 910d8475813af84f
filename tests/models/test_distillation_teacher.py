"""Distillation: what cases are told was counted on other rows, and what they are told is learned."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lexirec.core.errors import DataError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.memory import Memory, MemorySettings
from lexirec.models.distillation_teacher import (
    REHEARSED,
    DistillationSettings,
    DistillationTeacher,
    ItemLogProbs,
    rehearse,
)
from lexirec.models.gram.settings import GramSettings, GramTrainingSettings
from lexirec.models.gram.training import fit_gram
from lexirec.models.tsrec.settings import SftSettings, TSRecSettings
from lexirec.models.tsrec.sft import fit_tsrec
from tests.models.gram.test_training import CHOSEN, TRAIN
from tests.worlds.ensemble import ITEMS, TEXTS, fusion
from tests.worlds.tsrec_shop import ITEMS as SHOP
from tests.worlds.tsrec_shop import TRAIN as WALKS
from tests.worlds.tsrec_shop import PowerCutError, builder, examples, kill_after, shop

NO_TEXTS = ["x"] * 6
COUNTED = DistillationSettings(share=0.4, folds=2, evidence="none")
HALF = DistillationSettings(share=0.5, folds=3)


def asked(*items: int) -> Sequences:
    return Sequences.from_lists([list(items)])


def teacher_of(rows: list[list[int]]) -> DistillationTeacher:
    made = DistillationTeacher.fit(Sequences.from_lists(rows), NO_TEXTS, COUNTED)
    assert made is not None
    return made


def test_a_row_is_not_told_what_only_it_knows():
    """Every row but the first goes 0 -> 1; only the first goes 0 -> 2."""
    teacher = teacher_of([[0, 2], *[[0, 1]] * 9])
    for row in range(10):
        told = teacher.soft_targets(asked(0), np.array([row]))[0]
        assert told[1] > 0
        if row == 0:
            assert told[2] == 0
    assert any(teacher.soft_targets(asked(0), np.array([row]))[0, 2] > 0 for row in range(1, 10))


def test_what_is_told_is_the_memory_of_the_other_folds():
    rows = [[place, (place + 1) % 6, (place + 2) % 6] for place in range(6)] * 2
    teacher = teacher_of(rows)
    fold_of = teacher._fold_of
    assert sorted(np.bincount(fold_of)) == [6, 6]
    others = Sequences.from_lists([row for row, fold in zip(rows, fold_of) if fold != fold_of[4]])
    scores = Memory().fit(others, 6).scores(asked(4, 5))[0]
    np.testing.assert_allclose(
        teacher.soft_targets(asked(4, 5), np.array([4]))[0], 0.4 * scores / scores.sum(), rtol=1e-5
    )


def test_the_memory_that_teaches_has_settings_of_its_own():
    rows = Sequences.from_lists([[0, 1, 2]] * 4)
    near = DistillationSettings(share=0.5, folds=2, rehearsal=1, evidence="none", memory=MemorySettings(window=1))
    told = {}
    for settings in (near, near.model_copy(update={"memory": MemorySettings()})):
        teacher = DistillationTeacher.fit(rows, NO_TEXTS, settings)
        asked = Sequences.from_lists([[0], [0]])
        told[settings.memory.window] = (teacher.soft_targets(asked, np.array([0, len(rows)])) > 0).numpy()
    assert not told[1][:, 2].any(), "two places later is not near, neither for other users nor for rehearsal"
    assert told[8][:, 2].all()


def test_parts_of_the_loss_sum_to_the_share_or_to_nothing():
    teacher = teacher_of([[0, 1, 2], [1, 2, 3], [2, 3, 4], [0, 1, 3]])
    histories = Sequences.from_lists([[0, 1], [], [1, 2], [5]])
    told = teacher.soft_targets(histories, np.array([0, 1, -1, 2]))
    assert told.dtype == torch.float32
    assert told.sum(1).tolist() == pytest.approx([0.4, 0, 0, 0])  # no history; no training row; nobody bought item 5


def test_without_a_share_there_is_no_teacher_and_few_rows_are_refused():
    assert DistillationTeacher.fit(TRAIN, TEXTS, DistillationSettings()) is None
    with pytest.raises(DataError, match=r"distillation\.folds is 5, but there are only 2 training rows"):
        DistillationTeacher.fit(Sequences.from_lists([[0, 1], [1, 2]]), NO_TEXTS, DistillationSettings(share=0.1))


def test_what_is_rehearsed_is_drawn_from_the_memory():
    memory = Memory().fit(Sequences.from_lists([[0, 1]] * 3 + [[0, 2], [3, 4]]), 6)
    drawn = rehearse(memory, 6, 4000, seed=1)
    items, answers = drawn.items.reshape(-1, 2).T
    assert set(items) == {item for item in range(6) if memory.scores(asked(item))[0].any()}
    for item in set(items):
        scores = np.maximum(memory.scores(asked(item))[0], 0)
        assert (items == item).sum() == 4000
        share = np.bincount(answers[items == item], minlength=6) / 4000
        np.testing.assert_allclose(share, scores / scores.sum(), atol=0.04)
    assert rehearse(memory, 6, 3, seed=1) == rehearse(memory, 6, 3, seed=1) != rehearse(memory, 6, 3, seed=2)


def test_rehearsal_in_blocks_draws_for_the_same_items(monkeypatch):
    memory = Memory().fit(Sequences.from_lists([[0, 1], [2, 3], [1, 4]]), 6)
    whole = rehearse(memory, 6, 2)
    monkeypatch.setattr("lexirec.models.distillation_teacher._ENTRIES", 12)
    assert rehearse(memory, 6, 2).items[::2].tolist() == whole.items[::2].tolist()


def test_rehearsed_rows_are_told_by_the_memory_of_all_rows():
    rows = Sequences.from_lists([[0, 1], [0, 1], [0, 2], [3, 4]])
    teacher = DistillationTeacher.fit(rows, NO_TEXTS, DistillationSettings(rehearsal=2, evidence="none"))
    assert teacher is not None
    assert teacher.has_soft_targets
    scores = Memory().fit(rows, 6).scores(asked(0))[0]
    told = teacher.soft_targets(Sequences.from_lists([[0], [0]]), np.array([0, len(rows)]))
    assert not told[0].any()  # of bought rows no share is asked for
    np.testing.assert_allclose(told[1], REHEARSED * scores / scores.sum(), rtol=1e-5)
    both = DistillationTeacher.fit(
        rows, NO_TEXTS, DistillationSettings(share=0.4, folds=2, rehearsal=2, evidence="none")
    )
    assert both is not None
    told = both.soft_targets(Sequences.from_lists([[0], [3, 4]]), np.array([len(rows), 1]))
    np.testing.assert_allclose(told[0], REHEARSED * scores / scores.sum(), rtol=1e-5)
    assert told[1].sum().item() in (0, pytest.approx(0.4))


def copies_that_prefer(items: list[int], trained: list[list[int]]) -> Callable[[int, np.ndarray], ItemLogProbs]:
    """Copies of a model of six items: that of each fold prefers one item, and what it was trained on is noted."""

    def copy_for(fold: int, rows: np.ndarray) -> ItemLogProbs:
        trained.append(rows.tolist())
        return lambda histories: np.log(np.tile(np.eye(6)[items[fold]] * 0.4 + 0.1, (len(histories), 1)))

    return copy_for


def test_a_product_is_the_memory_and_a_copy_of_the_other_folds():
    rows = [[place, (place + 1) % 6, (place + 2) % 6] for place in range(6)] * 2
    settings = COUNTED.model_copy(update={"teacher": "product", "rehearsal": 1})
    trained: list[list[int]] = []
    prefer = copies_that_prefer([2, 3], trained)
    teacher = DistillationTeacher.fit(Sequences.from_lists(rows), NO_TEXTS, settings, copies=prefer)
    assert teacher is not None
    fold_of = teacher._fold_of[: len(rows)]
    assert trained == [np.flatnonzero(fold_of != fold).tolist() for fold in (0, 1)]

    def product(counted: list[list[int]], bonus: np.ndarray) -> np.ndarray:
        scores = Memory().fit(Sequences.from_lists(counted), 6).scores(asked(0))[0].astype(np.float64)
        expected = (scores / scores.sum() + 0.001) * bonus
        return expected / expected.sum()

    row = int(np.flatnonzero(fold_of == 1)[0])
    others = [each for each, fold in zip(rows, fold_of) if fold == 0]
    told = teacher.soft_targets(asked(0), np.array([row]))[0]
    np.testing.assert_allclose(told, 0.4 * product(others, np.eye(6)[3] * 0.4 + 0.1), rtol=1e-5)
    told = teacher.soft_targets(asked(0), np.array([len(rows)]))[0]  # rehearsed: all copies together, as one
    both = np.sqrt((np.eye(6)[2] * 0.4 + 0.1) * (np.eye(6)[3] * 0.4 + 0.1))
    np.testing.assert_allclose(told, REHEARSED * product(rows, both), rtol=1e-5)


def test_a_product_needs_copies_rows_for_every_fold_and_a_head_that_teaches():
    settings = DistillationSettings(teacher="product", rehearsal=1, folds=3)
    with pytest.raises(
        ValueError, match=r'teacher is "product", but `copies` is None; give it, or set teacher = "memory"'
    ):
        DistillationTeacher.fit(TRAIN, TEXTS, settings)
    with pytest.raises(DataError, match=r"distillation\.folds is 3, but there are only 2 training rows"):
        DistillationTeacher.fit(Sequences.from_lists([[0, 1], [1, 2]]), NO_TEXTS, settings)
    with pytest.raises(ValidationError, match=r'teacher is "product", but copies of the model can teach only'):
        TSRecSettings.model_validate({"network": {"head": "vocabulary"}, "training": {"distillation": settings}})
    with pytest.raises(ValueError, match=r'teacher is "product", but copies of the model can teach only'):
        DistillationTeacher.fit(TRAIN, TEXTS, settings, flat=False)
    assert DistillationTeacher.fit(TRAIN, TEXTS, DistillationSettings(teacher="product")) is None, (
        "nothing is asked of it"
    )


def test_heads_without_a_distribution_over_items_rehearse_what_was_drawn_alone():
    settings = DistillationSettings(rehearsal=1)
    TSRecSettings.model_validate({"network": {"head": "vocabulary"}, "training": {"distillation": settings}})
    teacher = DistillationTeacher.fit(TRAIN, TEXTS, settings, flat=False)
    assert teacher is not None
    assert not teacher.has_soft_targets
    assert len(teacher.rehearsed) == len(TEXTS)


@pytest.mark.parametrize(
    ("kind", "part"), [(TSRecSettings, "network"), (GramSettings, "network")], ids=["causal", "late-fusion"]
)
def test_heads_without_a_distribution_over_items_are_refused(kind, part):
    taught = {"distillation": {"share": 0.3}}
    for head in ({"head": "vocabulary"}, {"head": "grounded", "pooling": "mean"}):
        with pytest.raises(ValidationError, match=r"share is 0\.3, but soft targets need a head \"grounded\""):
            kind.model_validate({part: head, "training": taught})
    kind.model_validate({part: {"head": "grounded"}, "training": taught})


def test_the_loss_is_divided_between_what_came_and_what_is_told():
    model = fusion(**CHOSEN, pooling="mass")
    items, places = torch.tensor([[3, 4, 5], [9, 8, -1]]), torch.tensor([[1, 2], [1, -1]])
    plain = model(items, places)["loss"]
    nothing = torch.zeros(3, ITEMS)
    assert model(items, places, soft_targets=nothing)["loss"].item() == pytest.approx(plain.item(), rel=1e-6)
    alone = torch.stack([model(*each)["loss"] for each in _one_by_one(items, places)])
    told = torch.zeros(3, ITEMS)
    told[1, 7] = 0.25  # of the second target a quarter asks for item 7
    losses = torch.stack(
        [model(*each, soft_targets=told[row : row + 1])["loss"] for row, each in enumerate(_one_by_one(items, places))]
    )
    assert losses[[0, 2]].tolist() == pytest.approx(alone[[0, 2]].tolist(), rel=1e-5)
    sure = model(torch.tensor([[3, 4, 5]]), torch.tensor([[2]]), soft_targets=torch.eye(ITEMS)[[7]])["loss"]
    assert losses[1].item() == pytest.approx((0.75 * alone[1] + 0.25 * sure).item(), rel=1e-5)
    assert model(items, places, soft_targets=told)["loss"].item() == pytest.approx(losses.mean().item(), rel=1e-5)


def _one_by_one(items, places):
    yield items[:1], places[:1, :1]
    yield items[:1], places[:1, 1:]
    yield items[1:, :2], places[1:, :1]


def distance(model, teacher) -> float:
    """Mean cross-entropy of the model's root against what the teacher says of training cases."""
    items = torch.tensor([TRAIN.row(row)[:3].tolist() for row in range(12)])
    places = torch.full((12, 1), 2)
    told = teacher.soft_targets(Sequences.from_lists([row[:2] for row in items.tolist()]), np.arange(12))
    with torch.no_grad():
        return float(model(items, places, soft_targets=told / told.sum(1, keepdim=True))["loss"])


def test_a_late_fusion_model_comes_nearer_to_its_teacher(tmp_path):
    teacher = DistillationTeacher.fit(TRAIN, TEXTS, HALF)
    pace = {"epochs": 3, "batch_targets": 22, "learning_rate": 5e-3, "checkpoints_per_epoch": 3}
    found = {}
    for name, told in (("taught", teacher), ("untaught", None)):
        model = fusion(**CHOSEN, pooling="mass")
        fit_gram(model, TRAIN, GramTrainingSettings(**pace), validation=None, folder=tmp_path / name, teacher=told)
        found[name] = distance(model, teacher)
    assert found["taught"] < found["untaught"] - 0.05


@pytest.mark.long
@pytest.mark.parametrize(
    "head",
    [{"head": "grounded", "pooling": "mass"}, {"head": "vocabulary", "user_prompt": "identifiers"}],
    ids=["grounded", "vocabulary"],
)
def test_a_late_fusion_model_learns_what_follows_an_item_nobody_bought(tmp_path, head):
    """The last item is in no training row; the memory knows its like by their texts."""
    rows = TRAIN.where(TRAIN.items != ITEMS - 1)
    settings = DistillationSettings(rehearsal=3)
    alone = torch.tensor([[ITEMS - 1]])
    pace = {"epochs": 4, "batch_targets": 22, "learning_rate": 5e-3, "checkpoints_per_epoch": 3}
    far = {}
    for name, chosen in (("rehearsed", settings), ("not", DistillationSettings())):
        model = fusion(**{**CHOSEN, **head})
        teacher = DistillationTeacher.fit(rows, TEXTS, chosen, flat=model.settings.flat)
        training = GramTrainingSettings(**pace, distillation=chosen)
        fit_gram(model, rows, training, validation=None, folder=tmp_path / name, teacher=teacher)
        scores = Memory().fit(rows, ITEMS, texts=TEXTS).scores(asked(ITEMS - 1))[0]
        shares = torch.from_numpy(np.maximum(scores, 0) / np.maximum(scores, 0).sum())
        pairs = torch.cat([alone.repeat(ITEMS, 1), torch.arange(ITEMS)[:, None]], dim=1)
        with torch.no_grad():
            each = torch.stack([model(pair[None], torch.tensor([[1]]))["loss"] for pair in pairs])
        far[name] = float((shares * each).sum())
    assert far["rehearsed"] < far["not"] - 0.05


def test_a_killed_training_carries_on_as_if_it_had_not_been(tmp_path):
    settings = SftSettings(epochs=1, batch_size=16, learning_rate=3e-2, checkpoints_per_epoch=3, distillation=HALF)
    teacher = DistillationTeacher.fit(WALKS, TEXTS[:SHOP], HALF)

    def fit(model, folder, soft_targets=teacher):
        return fit_tsrec(
            model, examples(), settings, validation=None, builder=builder(), folder=folder, teacher=soft_targets
        )

    whole, broken, untaught = (shop(head="grounded") for _ in range(3))
    curve = fit(whole, tmp_path / "whole")
    kill_after(broken, 5)
    with pytest.raises(PowerCutError):
        fit(broken, tmp_path / "broken")
    again = shop(head="grounded")
    assert fit(again, tmp_path / "broken") == curve
    for one, two in zip(whole.state_dict().values(), again.state_dict().values()):
        assert torch.equal(one, two)
    assert fit(untaught, tmp_path / "untaught", None) != curve
