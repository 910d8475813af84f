import pytest
import torch
from pydantic import ValidationError

from lexirec.models.gram.settings import GramNetworkSettings
from lexirec.models.tsrec.settings import TSRecNetworkSettings
from lexirec.nn.head_base import HeadSettings, _products_by_node, log_shares, products


@pytest.mark.parametrize("settings", [HeadSettings, TSRecNetworkSettings, GramNetworkSettings])
def test_a_grounded_head_cannot_score_the_vocabulary(settings):
    assert settings(head="grounded").grounded
    assert not settings(likelihood="vocabulary").grounded
    with pytest.raises(ValidationError, match='it needs likelihood "catalog"'):
        settings(head="grounded", likelihood="vocabulary")


@pytest.mark.parametrize(
    ("settings", "own"), [(TSRecNetworkSettings, "embeddings"), (GramNetworkSettings, "user_prompt")]
)
def test_what_speaks_in_grounded_rows_needs_the_head_that_has_them(settings, own):
    with pytest.raises(ValidationError, match=r"set that head, too, or .* as the paper has"):
        settings(**{own: "grounded"})
    assert settings(head="grounded", **{own: "grounded"}).grounded


def test_both_families_say_the_same_by_default():
    shared = HeadSettings().model_dump()
    for settings in (TSRecNetworkSettings(), GramNetworkSettings()):
        assert shared.items() <= settings.model_dump().items()


def test_children_without_trained_items_take_nothing_from_the_others():
    logits = torch.tensor([[1.0, 0.5, -0.3, 2.0], [0.2, 0.1, 0.4, -torch.inf]])
    trained = torch.tensor([[True, True, False, False], [False, False, False, False]])
    found = log_shares(logits, trained)
    torch.testing.assert_close(found[0, :2], logits[0, :2].log_softmax(0))
    for new in (2, 3):  # as if it alone stood beside the trained ones
        alone = logits[0, [0, 1, new]].log_softmax(0)[2]
        torch.testing.assert_close(found[0, new], alone)
    torch.testing.assert_close(found[1, :3], logits[1, :3].log_softmax(0))
    assert found[1, 3] == -torch.inf
    torch.testing.assert_close(log_shares(logits[:1]), logits[:1].log_softmax(-1))


@pytest.mark.parametrize("nodes", [[[0, 1, 2], [2, 1, 0]], [[3, 3, 3], [3, 3, 3]], [[0, 1, 2], [3, 4, 5]]])
def test_products_by_node_are_those_of_gathered_rows(nodes):
    draw = torch.Generator().manual_seed(0)
    queries = torch.randn(2, 3, 4, generator=draw, requires_grad=True)
    table = torch.randn(400, 4, generator=draw, requires_grad=True)
    rows_of_node = torch.randint(0, 400, (6, 5), generator=draw)
    nodes_BW = torch.tensor(nodes)
    index = rows_of_node[nodes_BW]
    expected = (table[index] @ queries.unsqueeze(-1)).squeeze(-1)
    found = products(queries, table, index, nodes_BW)
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad(expected.square().sum(), (queries, table))
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), (queries, table)), wanted)


def test_many_beams_at_one_node_beside_many_nodes_are_not_padded():
    nodes = torch.cat([torch.zeros(60, dtype=torch.long), torch.arange(1, 41)])[None]
    index = torch.arange(41)[:, None].expand(41, 2)[nodes]
    queries, table = torch.randn(1, 100, 4), torch.randn(50, 4)
    assert _products_by_node(queries, table, index, nodes) is None
    torch.testing.assert_close(products(queries, table, index, nodes), products(queries, table, index))
