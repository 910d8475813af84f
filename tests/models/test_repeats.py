import pytest
import torch

from lexirec.models.repeats import AGES, penalties, penalty_of_items

BY_AGE = torch.tensor([1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("history", "costs"),
    [
        ([], {}),
        ([-1, -1], {}),
        ([5], {5: 1}),
        ([5, 6, -1, -1], {6: 1, 5: 2}),
        ([-1, 5, -1, 6], {6: 1, 5: 2}),
        ([1, 2, 3, 4, 5, 6], {6: 1, 5: 2, 4: 3, 3: 4, 2: 4, 1: 4}),
        ([7, 8, 7], {7: 1, 8: 2}),  # as old as where it stands last
        ([7, 7], {7: 1}),
    ],
)
def test_an_item_costs_what_its_newest_place_says(history, costs):
    found = penalty_of_items(BY_AGE, torch.tensor([history], dtype=torch.int64), 9)[0]
    assert {item: cost for item, cost in enumerate(found.tolist()) if cost} == costs


def test_rows_do_not_mix():
    seen = torch.tensor([[1, 2, -1], [-1, -1, -1], [2, 2, 1]])
    together = penalty_of_items(BY_AGE, seen, 4)
    for row in range(3):
        assert torch.equal(penalty_of_items(BY_AGE, seen[row : row + 1], 4)[0], together[row])


def test_every_age_learns_from_its_own_items():
    learned = torch.zeros(AGES, requires_grad=True)
    penalty_of_items(penalties(learned), torch.tensor([[1, 2]]), 4).sum().backward()
    assert (learned.grad[:2] > 0).all()
    assert not learned.grad[2:].any()
    assert (penalties(torch.tensor([-50.0, 0.0, 50.0])) >= 0).all()
