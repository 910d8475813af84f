import numpy as np
import pytest
import torch

from lexirec.data.splits import prefix_cases
from lexirec.models.tsrec.rewards import Rewards
from lexirec.models.tsrec.rollouts import Proposer
from tests.worlds.tsrec_shop import ITEMS, TRAIN, builder, shop

CASES = prefix_cases(TRAIN, 3)
ROWS = np.array([3, 50, 7, 20])


def is_target(items_BG, *, target_B, **columns):
    return (items_BG == target_B[:, None]).float()


def proposer(**changes) -> Proposer:
    settings = {"group": 6, "add_target": False, "zero_groups": "kl"} | changes
    prompts = builder().next_item(CASES.histories)
    return Proposer(CASES, prompts, builder(), Rewards({"hit": (1.0, is_target)}, {}), **settings)


def test_groups_are_the_beams_of_the_search_with_their_own_targets():
    model = shop()
    found = proposer(group=ITEMS).propose(model, ROWS)
    assert found.items_BG.sort(1).values.tolist() == [list(range(ITEMS))] * 4
    best = found.advantages_BG.argmax(1)
    assert found.items_BG.gather(1, best[:, None]).squeeze(1).tolist() == CASES.targets[ROWS].tolist()
    logp = found.scores(model).logp.sum(-1)
    assert (logp.diff(dim=1) <= 1e-5).all()  # best first
    for row, case in enumerate(ROWS):
        prompt = found.prompts_BL[row][found.mask_BL[row]].tolist()
        assert prompt == builder().next_item(CASES.histories.take(np.array([case]))).row(0)
        assert found.seen_BH[row][found.seen_BH[row] >= 0].tolist() == CASES.histories.row(case).tolist()
    assert found.counts_BGS.all()
    assert found.figures["hits"] == found.share == 1


def test_groups_that_teach_nothing_are_left_out():
    model = shop()
    whole, some = proposer().propose(model, np.arange(40)), proposer(zero_groups="skip").propose(model, np.arange(40))
    useful = whole.advantages_BG.ne(0).any(1)
    assert 0 < useful.sum() < 40
    assert some.share == pytest.approx(float(useful.float().mean()))
    assert torch.equal(some.items_BG, whole.items_BG[useful])
    assert torch.equal(some.seen_BH, whole.seen_BH[useful])
    assert some.figures == whole.figures
    assert some.figures["zero_advantage"] == pytest.approx(1 - some.share)
    assert some.figures["coverage"] == len(whole.items_BG.unique()) / whole.items_BG.numel()


def test_one_group_stands_in_where_none_teaches():
    items = proposer().propose(shop(), np.arange(40)).items_BG.numpy()
    hitless = np.flatnonzero((items != CASES.targets[:40, None]).all(1))
    found = proposer(zero_groups="skip").propose(shop(), hitless[:3])
    assert (len(found.items_BG), found.share) == (1, 0.0)


def test_the_target_replaces_the_last_proposal_where_it_is_missing():
    plain, added = (proposer(add_target=flag).propose(shop(), np.arange(40)) for flag in (False, True))
    target = torch.from_numpy(CASES.targets[:40]).long()
    hits = (plain.items_BG == target[:, None]).any(1)
    assert torch.equal(added.items_BG[hits], plain.items_BG[hits])
    assert torch.equal(added.items_BG[~hits][:, -1], target[~hits])
    assert torch.equal(added.items_BG[:, :-1], plain.items_BG[:, :-1])
    assert added.figures["hits"] == pytest.approx(float(hits.float().mean()))
