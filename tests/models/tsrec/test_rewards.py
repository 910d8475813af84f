import math

import numpy as np
import pytest
import torch

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.decoding.trie import Trie
from lexirec.models.tsrec import rewards
from lexirec.models.tsrec.rewards import Meanings, Rewards
from lexirec.models.tsrec.settings import RewardSettings

# items 0 … 4: two share two tokens, one shares one, one shares only its last token, one is shorter
TOKENS = np.array([[1, 4, 7], [1, 4, 8], [1, 5, 7], [2, 5, 7], [3, 6, -1]], dtype=np.int32)
TRIE = Trie.build(TOKENS)
PATH = TRIE.ancestors()
TARGET = torch.tensor([0])
ALL = torch.arange(5)[None]


def cases(targets: list[int]) -> Cases:
    histories = Sequences.from_lists([[1, 2]] * len(targets))
    return Cases(np.arange(len(targets)), np.array(targets, dtype=np.int32), histories)


def test_exact_pays_the_target_alone():
    assert rewards.exact(ALL, target_B=TARGET).tolist() == [[1, 0, 0, 0, 0]]


SPEC = [-0.1638, -0.1033, -0.0819, -0.0705, -0.0634, -0.0583, -0.0546, -0.0517]
SPEC += [-0.0493, -0.0473, -0.0457, -0.0443, -0.0430, -0.0419, -0.0409, -0.0401]


def test_fines_by_rank_are_the_published_sixteen():
    """MiniOneRec, spec 9.3; the hit's own place is not fined."""
    items = torch.arange(16).repeat(2, 1)
    found = rewards.rank_aware(items, target_B=torch.tensor([0, 9]))
    for hit, row in zip((0, 9), found):
        expected = torch.tensor(SPEC)
        expected[hit] = 0
        assert torch.allclose(row, expected, atol=6e-5)
    assert sum(SPEC) == pytest.approx(-1, abs=1e-3)


def test_the_paper_s_fines_leave_the_hit_out_of_the_sum():
    items = torch.arange(16)[None]
    found = rewards.rank_aware(items, target_B=torch.tensor([2]), rank_slots="others")
    assert float(found.sum()) == pytest.approx(-1)
    assert found[0, 2] == 0
    assert float(found[0, 0] / found[0, 1]) == pytest.approx(math.log2(3))


def test_a_group_without_its_target_is_fined_nothing():
    for slots in ("all", "others"):
        found = rewards.rank_aware(torch.arange(16)[None], target_B=torch.tensor([99]), rank_slots=slots)
        assert torch.equal(found, torch.zeros(1, 16))


def test_prefix_overlap_is_the_share_of_the_path():
    found = rewards.prefix_overlap(ALL, target_B=TARGET, path_IS=PATH)
    assert torch.allclose(found, torch.tensor([[1, 2 / 3, 1 / 3, 0, 0]]))
    short = rewards.prefix_overlap(ALL, target_B=torch.tensor([4]), path_IS=PATH)
    assert short.tolist() == [[0, 0, 0, 0, 1]]


def test_semantic_is_the_cosine_with_the_target():
    vectors = torch.tensor([[2.0, 0], [3, 0], [0, 1], [-1, 0], [1, 1]])
    found = rewards.semantic(ALL, target_B=TARGET, vectors_ID=vectors)
    assert torch.allclose(found, torch.tensor([[1, 1, 0, -1, 0.5**0.5]]))


def test_collaborative_is_the_score_between_worst_and_best():
    scores = torch.tensor([[-1.0, 3, 1, 0, 0], [5, 5, 5, 5, 5]])
    found = rewards.collaborative(ALL.repeat(2, 1), target_B=torch.tensor([0, 0]), scores_BI=scores)
    assert torch.allclose(found, torch.tensor([[0, 1, 0.5, 0.25, 0.25], [0, 0, 0, 0, 0]]))


def meanings() -> Meanings:
    """Tokens 1 and 2 mean nearly the same, 4 and 5 the opposite, 7 and 8 mean nothing."""
    vectors = torch.zeros(10, 2)
    vectors[1], vectors[2], vectors[3] = torch.tensor([1.0, 0]), torch.tensor([0.8, 0.6]), torch.tensor([0.0, 1])
    vectors[4], vectors[5], vectors[6] = torch.tensor([1.0, 0]), torch.tensor([-2.0, 0]), torch.tensor([0.0, 1])
    return Meanings(TRIE.token.clamp(min=0), vectors)


def test_tokens_are_paid_for_their_meaning():
    found = rewards.token_semantic(ALL, target_B=TARGET, path_IS=PATH, meanings=meanings(), discount=0.5)
    expected = [
        1.0,
        (1 + 1 + 0) / 3,  # the last token is another one that means nothing
        (1 - 1 + 0.5 * 1) / 3,  # the second is the opposite, and the third, though the same, counts half below it
        (0.8 - 0.5 + 0.25) / 3,
        (0 + 0 + 0) / 3,  # at right angles, then no token at all
    ]
    assert torch.allclose(found, torch.tensor([expected]), atol=1e-6)
    short = rewards.token_semantic(ALL, target_B=torch.tensor([4]), path_IS=PATH, meanings=meanings(), discount=0.5)
    assert short[0, 4] == 1
    assert short[0, 3] == pytest.approx(0.6 / 2)  # over the target's two steps


def test_the_sum_weighs_what_settings_say():
    settings = RewardSettings(exact=2, rank_aware=0, prefix_overlap=3)
    total = Rewards.of(settings, TRIE)
    items = torch.tensor([[0, 2, -1]])
    assert torch.allclose(total(items, cases([0])), torch.tensor([[5.0, 1.0, 0.0]]))


def test_scores_are_asked_for_the_histories_at_hand():
    asked = []

    def scorer(histories):
        asked.append(len(histories))
        return np.tile(np.arange(5.0), (len(histories), 1))

    total = Rewards.of(RewardSettings(exact=0, rank_aware=0, collaborative=1), TRIE, scorer=scorer)
    assert torch.allclose(total(ALL.repeat(2, 1), cases([0, 1]))[1], torch.arange(5) / 4)
    assert asked == [2]


def test_a_reward_of_one_s_own_gets_what_it_needs():
    def even(items_BG, *, target_B, path_IS, **columns):
        return (items_BG % 2 == 0).float() + target_B[:, None] + 0 * path_IS[0, 0]

    total = Rewards.of(RewardSettings(rank_aware=0), TRIE).plus("even", 0.5, even)
    assert total(torch.tensor([[1, 2]]), cases([2])).tolist() == [[1.0, 2.5]]


@pytest.mark.parametrize("name", ["semantic", "collaborative", "token_semantic"])
def test_what_a_reward_needs_must_be_there(name):
    settings = validate_settings({name: 0.5}, RewardSettings)
    with pytest.raises(SettingsError, match=rf"rewards\.{name} is 0\.5, which needs"):
        Rewards.of(settings, TRIE)


def test_no_reward_at_all_is_refused():
    with pytest.raises(SettingsError, match="every weight is 0"):
        Rewards.of(RewardSettings(exact=0, rank_aware=0), TRIE)
