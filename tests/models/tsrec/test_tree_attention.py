import pytest
import torch

from lexirec.core.errors import DataError
from lexirec.models.tsrec.tree_attention import Prefix, additive, check_padding, side_by_side

PROMPT = torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()


def test_beams_see_the_prompt_without_its_padding_their_ancestors_and_themselves():
    prefix = Prefix(None, torch.zeros(2, 4), PROMPT)
    visible, positions = prefix.enter(torch.zeros(2, 2, dtype=torch.int64))
    assert visible[0].int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 0, 1]]
    assert visible[1].int().tolist() == [[1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]
    assert positions.tolist() == [[3, 3], [1, 1]]
    visible, positions = prefix.enter(torch.tensor([[1, 1, 0], [0, 1, 0]]))
    assert visible[0, :, 3:].int().tolist() == [[0, 1, 1, 0, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1]]
    assert positions.tolist() == [[4, 4, 4], [2, 2, 2]]
    visible, _ = prefix.enter(torch.tensor([[2], [1]]))
    assert visible[:, 0, 3:].int().tolist() == [[1, 0, 0, 0, 1, 1], [0, 1, 0, 1, 0, 1]]


def test_completions_stand_side_by_side():
    visible, positions = side_by_side(PROMPT, steps=2, groups=2)
    assert visible[1].int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0, 0],
        [1, 0, 0, 0, 1, 0, 0],
        [1, 0, 0, 1, 0, 1, 0],
        [1, 0, 0, 0, 1, 0, 1],
    ]
    assert positions.tolist() == [[0, 1, 2, 3, 3, 4, 4], [0, 1, 2, 1, 1, 2, 2]]


def test_masks_are_added_and_shut_completely():
    mask = additive(PROMPT.unsqueeze(1), torch.bfloat16)
    assert mask.shape == (2, 1, 1, 3)
    assert mask.dtype == torch.bfloat16
    assert torch.equal(mask[:, 0] == 0, PROMPT.unsqueeze(1))
    assert float(mask.min()) == torch.finfo(torch.bfloat16).min


@pytest.mark.parametrize("mask", [[[1, 1], [0, 1]], [[1, 0, 1]], [[1, 1], [0, 0]], [[]]])
def test_other_padding_than_on_the_right_is_refused(mask):
    with pytest.raises(DataError, match="padding on the right"):
        check_padding(torch.tensor(mask))
    assert torch.equal(check_padding(PROMPT.long()), PROMPT)
