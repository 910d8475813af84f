import pytest
import torch
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Attention

from lexirec.nn.cross_attention import HIDDEN, FlatPrompts, FusedPrompts

B, Q, S, M, L, D, N = 3, 4, 2, 3, 5, 16, 6
CONFIG = T5Config(d_model=D, d_kv=4, num_heads=4, dropout_rate=0.0)


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return T5Attention(CONFIG, has_relative_attention_bias=False).eval()


class World:
    """Blocks, a position table, prompts of the query rows' own, and what each query row sees of the blocks."""

    def __init__(self, rows: int = Q) -> None:
        torch.manual_seed(1)
        self.states = torch.randn(B, M, L, D, requires_grad=True)
        self.mask = torch.arange(L) < torch.randint(1, L + 1, (B, M, 1))
        self.positions = torch.randn(N, D, requires_grad=True)
        self.slots = torch.randint(HIDDEN, N, (B, rows, M))
        self.slots[0, 0] = HIDDEN  # nothing but its own prompt
        self.own_states = torch.randn(B, rows, L - 1, D, requires_grad=True)
        self.own_mask = torch.arange(L - 1) < torch.randint(1, L, (B, rows, 1))
        self.hidden = torch.randn(B, rows, S, D)

    def fused(self, *, own: bool) -> FusedPrompts:
        extra = (self.own_states, self.own_mask) if own else None
        return FusedPrompts((self.states, self.mask), self.slots, self.positions, extra)

    def stock(self, attention: T5Attention, *, own: bool) -> torch.Tensor:
        """Concatenate what each query row sees, one row at a time, and let the stock layer read it."""
        contexts = []
        for b in range(B):
            for q in range(self.slots.shape[1]):
                parts = [self.own_states[b, q][self.own_mask[b, q]]] if own else []
                for m in range(M):
                    slot = int(self.slots[b, q, m])
                    if slot != HIDDEN:
                        parts.append(self.states[b, m][self.mask[b, m]] + self.positions[slot])
                memory = torch.cat(parts)[None] if parts else torch.zeros(1, 1, D)
                contexts.append(attention(self.hidden[b, q][None], key_value_states=memory)[0][0])
        return torch.stack(contexts).view(B, -1, S, D)


@pytest.mark.parametrize("own", [True, False])
def test_blocks_seen_at_positions_equal_their_concatenation_in_stock_attention(attention, own):
    world = World()
    seen = (world.slots > HIDDEN).any(-1) if not own else torch.ones(B, Q, dtype=torch.bool)
    ours = world.fused(own=own).attend(0, attention, world.hidden)
    stock = world.stock(attention, own=own)
    assert seen.sum() > Q
    assert torch.allclose(ours[seen], stock[seen], atol=1e-5)


def test_gradients_equal_those_of_the_concatenation(attention):
    found = []
    for read in ("fused", "stock"):
        world = World()
        attention.zero_grad()
        ours = read == "fused"
        out = world.fused(own=True).attend(0, attention, world.hidden) if ours else world.stock(attention, own=True)
        out.square().sum().backward()
        weights = [part.weight.grad.clone() for part in (attention.q, attention.k, attention.v, attention.o)]
        found.append([world.states.grad, world.positions.grad, world.own_states.grad, *weights])
    for one, two in zip(*found):
        assert torch.allclose(one, two, atol=1e-4 * float(two.abs().max()))


@pytest.mark.parametrize("own", [True, False])
def test_prompts_in_a_line_equal_fused_ones(attention, own):
    world = World(rows=1)
    world.slots[0, 0, 1] = 2  # without a prompt of its own, each row sees a block
    world.slots[1:, 0, 0] = 0
    fused = world.fused(own=own)
    flat = fused.flat()
    for _ in range(2):  # the second time keys and values come from the first
        assert torch.allclose(
            flat.attend(0, attention, world.hidden), fused.attend(0, attention, world.hidden), atol=1e-5
        )


def test_prompts_in_a_line_hold_no_padding_between_them():
    world = World(rows=1)
    flat = world.fused(own=True).flat()
    counts = (world.mask & (world.slots[:, 0] > HIDDEN)[..., None]).sum((1, 2)) + world.own_mask[:, 0].sum(1)
    assert flat.mask_BT.shape[1] == counts.max() < M * L + L - 1
    assert flat.mask_BT.sum(1).tolist() == counts.tolist()


def test_beams_of_a_row_read_alike_alone_and_together(attention):
    world = World(rows=1)
    flat = world.fused(own=True).flat()
    together = flat.attend(0, attention, world.hidden)
    alone = torch.cat([flat.attend(0, attention, world.hidden[:, :, s : s + 1]) for s in range(S)], dim=2)
    assert torch.allclose(together, alone, atol=1e-6)


def test_layers_have_keys_of_their_own():
    torch.manual_seed(2)
    layers = [T5Attention(CONFIG, has_relative_attention_bias=False).eval() for _ in range(2)]
    states, mask, hidden = torch.randn(B, L, D), torch.ones(B, L, dtype=torch.bool), torch.randn(B, 1, S, D)
    flat = FlatPrompts(states, mask)
    for number in (0, 1, 0):
        stock = layers[number](hidden[:, 0], key_value_states=states)[0]
        assert torch.allclose(flat.attend(number, layers[number], hidden)[:, 0], stock, atol=1e-5)


def test_a_row_that_sees_nothing_stays_finite_and_so_do_gradients(attention):
    world = World()
    world.slots[:] = HIDDEN
    for out in (
        world.fused(own=False).attend(0, attention, world.hidden),
        FlatPrompts(world.own_states[:, 0], torch.zeros(B, L - 1, dtype=torch.bool)).attend(
            0, attention, world.hidden[:, :1]
        ),
    ):
        out.sum().backward()
        assert out.isfinite().all()
    assert all(part.weight.grad.isfinite().all() for part in (attention.q, attention.k, attention.v))


def test_what_is_masked_or_hidden_does_not_matter(attention):
    world, other = World(), World()
    with torch.no_grad():
        other.states[~other.mask] = 1e3
        other.own_states[~other.own_mask] = -1e3
    one = world.fused(own=True).attend(0, attention, world.hidden)
    two = other.fused(own=True).attend(0, attention, other.hidden)
    assert torch.allclose(one, two, atol=1e-5)


def test_training_drops_attention_weights(attention):
    attention.dropout = 0.5
    world = World()
    evaluated = world.fused(own=True).attend(0, attention, world.hidden)
    attention.train()
    torch.manual_seed(4)
    trained = world.fused(own=True).attend(0, attention, world.hidden)
    assert not torch.allclose(evaluated, trained, atol=1e-3)
