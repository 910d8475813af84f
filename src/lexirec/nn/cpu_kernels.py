"""Faster CPU versions of three stock operations: linear layers, dropout and embedding gradients.

Packed linear layers. A stock layer passes its weight to the matrix library in plain layout, and for the few hundred
rows of a search most of the time goes into moving it. oneDNN, which torch bundles, multiplies by weights that were
reordered beforehand; `torch.compile` does so with frozen weights, and this is the same operation without a compiler:
200 instead of 100 to 160 billion operations a second on two cores. Results differ by rounding only. A packed weight is
a copy: it takes the weight's memory once more, and must be packed again after training.

Byte dropout. On CPUs `torch.nn.Dropout` spends more time on random numbers than a small transformer spends on its
matrix products, a third of a training step. One random byte per element instead of one Bernoulli draw is some fifteen
times faster (benchmarks in docs/log/); the rate becomes a multiple of 1/256, and outputs are scaled by that rate.

Shared embedding gradients. A stock look-up's backward fills a tensor as large as the vocabulary, adds a few rows, and
autograd sums the tensors of all look-ups. A batch that embeds items, users and targets does so four times, a twentieth
of a training step; here the rows are accumulated in one dense buffer. Values and gradients equal the stock ones.

Shapes: `V` rows of a table, `D` features, `U` rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST = 1 << 17
"""Least elements of a weight to pack: below, the call overhead exceeds the gain."""
_MOST_BYTES = 4 << 30
"""Most bytes of weights to pack, since packing doubles their memory; a larger model keeps its stock layers."""


class PackedLinear(nn.Module):
    """A linear layer with packed weight, for inference; with gradients or other types it computes the stock product."""

    def __init__(self, linear: nn.Linear) -> None:
        """Pack the layer's current weight."""
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias  # stock modules read these attributes
        self._packed = pack(linear.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs · weightᵀ + bias."""
        if torch.is_grad_enabled() or inputs.dtype != torch.float32:
            return functional.linear(inputs, self.weight, self.bias)
        return multiply(inputs, self._packed, self.bias)


class _Slot(NamedTuple):
    """Where a linear layer stands in its parent module, and the two layers that can stand there."""

    parent: nn.Module
    name: str
    stock: nn.Linear
    packed: PackedLinear


class PackedLinears:
    """Packed copies of the linear layers of stock modules; the modules use them inside `with packed.in_use()`.

    Two threads may search at once: when one restores the stock layers, the other continues with those.
    """

    def __init__(self, *modules: nn.Module) -> None:
        """Pack all float32 layers on the CPU that are large enough; none where torch has no oneDNN."""
        within = dict.fromkeys(each for module in modules for each in module.modules())
        stock = [each for each in within if isinstance(each, nn.Linear) and _worth(each)]
        fits = sum(linear.weight.numel() * 4 for linear in stock) <= _MOST_BYTES
        packed = {linear: PackedLinear(linear) for linear in stock} if fits and can_pack() else {}
        self._slots = [
            _Slot(parent, name, child, packed[child])
            for parent in within
            for name, child in parent.named_children()
            if isinstance(child, nn.Linear) and child in packed
        ]

    def __len__(self) -> int:
        """Return the number of packed layers."""
        return len(self._slots)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Put the packed layers into the modules for the duration of the context."""
        for slot in self._slots:
            slot.parent._modules[slot.name] = slot.packed
        try:
            yield
        finally:
            for slot in self._slots:
                slot.parent._modules[slot.name] = slot.stock


def pack_blocks(table_VD: Tensor, size: int) -> tuple[Tensor, ...]:
    """Pack a table (V, D) in blocks of `size` rows; return no blocks where it cannot be packed or is too large."""
    fits = table_VD.numel() * 4 <= _MOST_BYTES
    if not (can_pack() and fits and _plain(table_VD) and size * table_VD.shape[1] >= _LEAST):
        return ()
    return tuple(pack(table_VD[first : first + size]) for first in range(0, len(table_VD), size))


def can_pack() -> bool:
    """Return whether this torch build and CPU multiply by packed weights faster than by plain ones."""
    operations: Any = torch.ops.mkldnn
    has_operations = all(hasattr(operations, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    available = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return has_operations and available and torch.backends.cpu.get_cpu_capability().startswith("AVX")


def pack(weight_UD: Tensor) -> Tensor:
    """Return a weight (U, D) reordered by oneDNN; only `multiply` can read the result."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_UD.detach())
    return packed


def multiply(inputs: Tensor, packed: Tensor, bias_U: Tensor | None = None) -> Tensor:
    """Return inputs (…, D) · weightᵀ + bias (…, U) for a packed weight (U, D); it has no gradient."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, packed, bias_U, "none", [], "")
    return product


def _worth(linear: nn.Linear) -> bool:
    return type(linear) is nn.Linear and _plain(linear.weight) and linear.weight.numel() >= _LEAST


def _plain(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32


# -------------------------------------------------------------------------------------------------------------- dropout

_LOWEST_INT64, _DRAWN_BYTES = -(2**63), 8


class ByteDropout(nn.Dropout):
    """`nn.Dropout` with one random byte per element on the CPU; on other devices the stock operation."""

    def forward(self, states: Tensor) -> Tensor:
        """Zero elements at the rate `p`, rounded to 1/256, and scale the others up."""
        return byte_dropout(states, self.p, self.training)


def byte_dropout(states: Tensor, p: float, training: bool) -> Tensor:
    """Zero elements of a tensor at the rate `p`, rounded to 1/256 on the CPU and exact on other devices."""
    threshold = round(p * 256)
    if not training or threshold == 0:
        return states
    if states.device.type != "cpu" or threshold >= 256:
        return functional.dropout(states, p, training)
    # one 64-bit draw serves eight elements; the scale uses the rounded rate, so the expectation is exact
    words = torch.empty(-(-states.numel() // _DRAWN_BYTES), dtype=torch.int64).random_(_LOWEST_INT64, None)
    kept = words.view(torch.uint8)[: states.numel()].view(states.shape) >= threshold
    return states * kept.to(states.dtype).mul_(256 / (256 - threshold))


def use_byte_dropout(model: nn.Module) -> None:
    """Replace every `nn.Dropout` of a model by `ByteDropout`, in place; rates stay."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, ByteDropout(child.p))


# ------------------------------------------------------------------------------------------- shared embedding gradients


class _SharedTable(torch.autograd.Function):
    """Identity on a table; backward adds the sparse gradients of all look-ups into one dense tensor."""

    @staticmethod
    def forward(ctx: Any, table_VD: Tensor) -> Tensor:
        """Return a view of the table."""
        return table_VD.view_as(table_VD)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the dense gradient of the table from the sparse sum of the look-ups' gradients."""
        (rows,) = gradients
        # autograd has summed the look-ups by concatenating their rows; a dense gradient comes from other uses
        if not rows.is_sparse:
            return rows
        dense: Tensor = torch.ops.aten.embedding_dense_backward(
            rows._values(), rows._indices()[0], len(rows), -1, False
        )
        return dense


def shared_gradient(table_VD: Tensor) -> Tensor:
    """Return the table (V, D) for all look-ups of one forward pass, whose gradients are accumulated in one buffer."""
    if not (table_VD.requires_grad and torch.is_grad_enabled()):
        return table_VD
    shared: Tensor = _SharedTable.apply(table_VD)  # type: ignore[no-untyped-call]
    return shared


def look_up(table_VD: Tensor, ids: Tensor) -> Tensor:
    """Return rows (…, D) of a table from `shared_gradient`."""
    return functional.embedding(ids, table_VD, sparse=table_VD.requires_grad)
