"""Weights laid out for the caches of a CPU: the same products of matrices, in half the time.

A stock linear layer hands its weight to the matrix library as it lies in memory, and for the few hundred rows of a
search most of the time goes into moving it. oneDNN, which torch carries, multiplies by weights that were rearranged
beforehand; `torch.compile` does so with frozen weights, and this is the same operation without a compiler. Here: 200
instead of 100 to 160 billion operations a second on two cores. Results differ by rounding only.

Packed weights are those of the moment: whoever trains packs again. They take the memory of the weights once more.

Legend: `V` rows of a table, `D` features, `U` rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST = 1 << 17
"""Numbers of a weight that are worth packing: below, asking takes longer than multiplying."""
_MOST_BYTES = 4 << 30
"""A model whose weights are larger stays as it is: its memory would double."""


class PackedLinear(nn.Module):
    """A linear layer's product with its weight packed; for use without gradients."""

    def __init__(self, linear: nn.Linear) -> None:
        """Pack the weight as it is now."""
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias  # stock layers look at them
        self._packed = pack(linear.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs · weightᵀ + bias."""
        if torch.is_grad_enabled() or inputs.dtype != torch.float32:
            return functional.linear(inputs, self.weight, self.bias)
        return multiply(inputs, self._packed, self.bias)


class _Place(NamedTuple):
    parent: nn.Module
    name: str
    stock: nn.Linear
    packed: PackedLinear


class PackedLinears:
    """The linear layers of stock modules, packed; the modules use them inside `with packed.in_use()`.

    Two threads may search at once: one that finds the stock layers back in their places goes on with those.
    """

    def __init__(self, *modules: nn.Module) -> None:
        """Pack what is worth it; nothing on devices, in other types than float32, or where torch has no oneDNN."""
        within = dict.fromkeys(each for module in modules for each in module.modules())
        stock = [each for each in within if isinstance(each, nn.Linear) and _worth(each)]
        fits = sum(linear.weight.numel() * 4 for linear in stock) <= _MOST_BYTES
        packed = {linear: PackedLinear(linear) for linear in stock} if fits and can_pack() else {}
        self._places = [
            _Place(parent, name, child, packed[child])
            for parent in within
            for name, child in parent.named_children()
            if isinstance(child, nn.Linear) and child in packed
        ]

    def __len__(self) -> int:
        """Return how many layers are packed."""
        return len(self._places)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the modules multiply by packed weights meanwhile."""
        for place in self._places:
            place.parent._modules[place.name] = place.packed
        try:
            yield
        finally:
            for place in self._places:
                place.parent._modules[place.name] = place.stock


def pack_blocks(table_VD: Tensor, size: int) -> tuple[Tensor, ...]:
    """Pack a table in blocks of rows; none where it cannot be packed or is too large."""
    fits = table_VD.numel() * 4 <= _MOST_BYTES
    if not (can_pack() and fits and _plain(table_VD) and size * table_VD.shape[1] >= _LEAST):
        return ()
    return tuple(pack(table_VD[first : first + size]) for first in range(0, len(table_VD), size))


def can_pack() -> bool:
    """Return whether this torch multiplies by packed weights, and gains by it."""
    operations: Any = torch.ops.mkldnn
    known = all(hasattr(operations, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    there = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return known and there and torch.backends.cpu.get_cpu_capability().startswith("AVX")


def pack(weight_UD: Tensor) -> Tensor:
    """Return a weight in an order of oneDNN's choosing; only `multiply` can read it."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_UD.detach())
    return packed


def multiply(inputs: Tensor, packed: Tensor, bias_U: Tensor | None = None) -> Tensor:
    """Return inputs (…, D) · weightᵀ + bias (…, U) for a packed weight (U, D), without gradients."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, packed, bias_U, "none", [], "")
    return product


def _worth(linear: nn.Linear) -> bool:
    return type(linear) is nn.Linear and _plain(linear.weight) and linear.weight.numel() >= _LEAST


def _plain(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32


# -------------------------------------------------------------------------------------------------------------- dropout
# Dropout that does not hold a CPU up: one random byte per element instead of one draw of a Bernoulli variable.
#
# On CPUs `torch.nn.Dropout` spends more time drawing than a small transformer spends on its matrix products: a third
# of a training step here. A 64-bit draw gives eight bytes, which is some fifteen times faster per element (benchmarks
# in docs/log/); the price is that the rate is a multiple of 1/256, and outputs are scaled by the rate as it is.

_LOWEST_INT64, _DRAWN_BYTES = -(2**63), 8


class ByteDropout(nn.Dropout):
    """`nn.Dropout` with bytes for coins on the CPU; elsewhere the stock one."""

    def forward(self, states: Tensor) -> Tensor:
        """Zero elements at the rate `p`, rounded to 1/256, and scale the others up."""
        return byte_dropout(states, self.p, self.training)


def byte_dropout(states: Tensor, p: float, training: bool) -> Tensor:
    """Zero elements of a tensor at the rate `p`, rounded to 1/256; other devices than the CPU take the exact rate."""
    threshold = round(p * 256)
    if not training or threshold == 0:
        return states
    if states.device.type != "cpu" or threshold >= 256:
        return functional.dropout(states, p, training)
    words = torch.empty(-(-states.numel() // _DRAWN_BYTES), dtype=torch.int64).random_(_LOWEST_INT64, None)
    kept = words.view(torch.uint8)[: states.numel()].view(states.shape) >= threshold
    return states * kept.to(states.dtype).mul_(256 / (256 - threshold))


def use_byte_dropout(model: nn.Module) -> None:
    """Exchange every `nn.Dropout` of a model, in place; weights and rates stay."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, ByteDropout(child.p))


# -------------------------------------------------------------------------------------------------------------- lookups
# Several lookups in one table of embeddings whose gradients are laid into one tensor of the table's size.
#
# A stock lookup's backward fills a tensor as large as the vocabulary, adds a few rows, and autograd adds it all to
# what other lookups gave. A batch that reads items, users and targets does so four times, which on CPUs takes a
# twentieth of a training step; here it is done once. Values and gradients are those of the stock lookup.
#
# Legend: `V` rows of the table, `D` features.


class _Collected(torch.autograd.Function):
    """The table itself; backward lays the rows that lookups give back into one dense tensor."""

    @staticmethod
    def forward(ctx: Any, table_VD: Tensor) -> Tensor:
        """Return a view of the table."""
        return table_VD.view_as(table_VD)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the dense gradient; lookups' own is a list of rows."""
        (rows,) = gradients
        if not rows.is_sparse:
            return rows
        dense: Tensor = torch.ops.aten.embedding_dense_backward(
            rows._values(), rows._indices()[0], len(rows), -1, False
        )
        return dense


def shared_gradient(table_VD: Tensor) -> Tensor:
    """Return the table for the lookups of one forward pass; their gradients come to it together."""
    learns = table_VD.requires_grad and torch.is_grad_enabled()
    found: Tensor = _Collected.apply(table_VD) if learns else table_VD  # type: ignore[no-untyped-call]
    return found


def look_up(table_VD: Tensor, ids: Tensor) -> Tensor:
    """Return rows (…, D) of a table that `shared_gradient` gave."""
    return functional.embedding(ids, table_VD, sparse=table_VD.requires_grad)
