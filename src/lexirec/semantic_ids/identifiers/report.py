"""Identifier report: statistics of the cells per level of the codes, and of the identifiers' prefix tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.prefixes import SortedRows, shortest_unique
from lexirec.semantic_ids.lexicon.tfidf import readable

Row = dict[str, int | float]


@dataclass(frozen=True)
class LevelReport:
    """Statistics of the cells of one level of the codes.

    Attributes:
        level: From 1.
        cells: Number of cells.
        smallest, median, largest: Items per cell.
        entropy: Entropy of the items over the cells, in bits.
        single_child_share: Share of the parent cells with a single child; 0 for residual codes.
        collisions: Cells whose identifiers share their tokens up to this level with those of another cell.
    """

    level: int
    cells: int
    smallest: int
    median: float
    largest: int
    entropy: float
    single_child_share: float
    collisions: int


@dataclass(frozen=True)
class DepthReport:
    """Statistics of one depth of the identifiers' prefix tree.

    Attributes:
        depth: Tokens from the root, from 1.
        tokens: Distinct tokens at this depth.
        prefixes: Distinct prefixes, that is, nodes.
        largest: Items below the largest node.
        entropy: Entropy of the items that reach this depth over its nodes, in bits.
        max_children: Most children of a parent node.
        single_child_share: Share of the parent nodes with a single child.
        identified: Share of all items that are unique by their first `depth` tokens.
    """

    depth: int
    tokens: int
    prefixes: int
    largest: int
    entropy: float
    max_children: int
    single_child_share: float
    identified: float


@dataclass(frozen=True)
class Census:
    """Statistics of the prefix tree of a catalogue's identifiers.

    Attributes:
        items: Number of identifiers.
        lengths: Number of identifiers per length.
        tokens: Distinct tokens.
        nodes: Nodes of the tree without its root.
        max_children: Most children of a node.
        single_child_share: Share of the inner nodes, root included, with a single child.
        mean_shortest_unique: Mean length of an item's shortest unique prefix.
        collision_groups: Groups of items distinguished only by a counter 0, 1, 2, … as last token.
        largest_collision: Items of the largest such group.
        with_numbers: Identifiers with a piece that is a number, counters included.
        depths: One report per depth.
    """

    items: int
    lengths: dict[int, int]
    tokens: int
    nodes: int
    max_children: int
    single_child_share: float
    mean_shortest_unique: float
    collision_groups: int
    largest_collision: int
    with_numbers: int
    depths: tuple[DepthReport, ...]

    def summary(self) -> dict[str, str]:
        """Return the figures about the whole tree as labelled phrases."""
        lengths = ", ".join(f"{count:,} of {length}" for length, count in self.lengths.items())
        return {
            "items": f"{self.items:,}",
            "tokens per identifier": lengths,
            "distinct tokens": f"{self.tokens:,}",
            "tree nodes": f"{self.nodes:,}, {self.single_child_share:.1%} of the inner ones with one child",
            "most children": f"{self.max_children:,}",
            "tokens that identify an item": f"{self.mean_shortest_unique:.2f} on average",
            "distinguished by a counter": f"{self.collision_groups:,} groups of up to {self.largest_collision:,} items",
            "with a number": f"{self.with_numbers:,}",
        }


@dataclass(frozen=True)
class NamingReport:
    """Statistics of a catalogue's cells and identifiers, level by level.

    Attributes:
        levels: One report per level of the codes; empty for identifiers without codes.
        census: The tree of the identifiers.
    """

    levels: tuple[LevelReport, ...]
    census: Census

    def level_rows(self) -> list[Row]:
        """Return the levels as rows of a table."""
        return [asdict(level) for level in self.levels]

    def depth_rows(self) -> list[Row]:
        """Return the depths as rows of a table."""
        return [asdict(depth) for depth in self.census.depths]


def naming_report(identifiers: Identifiers, codes: Codes | None = None) -> NamingReport:
    """Return the statistics of identifiers and, if given, of the codes that they were built from."""
    rows = SortedRows.of(identifiers.tokens)
    levels = () if codes is None else tuple(_level(codes, rows, level) for level in range(codes.levels))
    return NamingReport(levels, census(identifiers))


def census(identifiers: Identifiers) -> Census:
    """Return the statistics of the prefix tree of identifiers (those that are known of GRAM's published ones)."""
    tokens, rows = identifiers.tokens, SortedRows.of(identifiers.tokens)
    unique = shortest_unique(tokens)
    children = [_children(rows, depth) for depth in range(1, identifiers.longest + 1)]
    depths = tuple(_depth(rows, depth, counts, unique) for depth, counts in enumerate(children, 1))
    groups = _counter_groups(identifiers)
    inner = np.concatenate(children)
    lengths, counts = np.unique(identifiers.lengths, return_counts=True)
    return Census(
        items=len(identifiers),
        lengths=dict(zip(lengths.tolist(), counts.tolist(), strict=True)),
        tokens=len(np.unique(tokens[tokens >= 0])),
        nodes=int(inner.sum()),
        max_children=int(inner.max()),
        single_child_share=float((inner == 1).mean()),
        mean_shortest_unique=float(unique.mean()),
        collision_groups=len(groups),
        largest_collision=int(groups.max(initial=0)),
        with_numbers=int(
            _marked(identifiers, [_is_number(readable(piece)) for piece in identifiers.pieces]).any(1).sum()
        ),
        depths=depths,
    )


def _level(codes: Codes, rows: SortedRows, level: int) -> LevelReport:
    cells, counts = codes.cells(level), codes.counts(level)
    single = 0.0
    if codes.kind == "tree" and level:
        children = np.bincount(codes.cells(level - 1)[codes.first_members(level)])
        single = float((children == 1).mean())
    spelled = np.empty(len(codes), dtype=np.int64)
    spelled[rows.order] = rows.prefixes(level + 1)
    pairs = np.unique(np.stack([spelled, cells]), axis=1)
    shared = np.bincount(pairs[0])[pairs[0]] > 1
    return LevelReport(
        level=level + 1,
        cells=len(counts),
        smallest=int(counts.min()),
        median=float(np.median(counts)),
        largest=int(counts.max()),
        entropy=_entropy(counts),
        single_child_share=single,
        collisions=len(np.unique(pairs[1][shared])),
    )


def _nodes(rows: SortedRows, depth: int) -> NDArray[np.int64]:
    """Return the sorted rows at which the nodes of a depth begin."""
    deep = np.flatnonzero(rows.lengths >= depth)
    return deep[np.flatnonzero(np.diff(rows.prefixes(depth)[deep], prepend=-2))]


def _children(rows: SortedRows, depth: int) -> NDArray[np.int64]:
    """Return the number of children of each parent of a depth's nodes."""
    parents = rows.prefixes(depth - 1)[_nodes(rows, depth)]
    return np.unique(parents, return_counts=True)[1].astype(np.int64)


def _depth(rows: SortedRows, depth: int, children: NDArray[np.int64], unique: NDArray[np.int64]) -> DepthReport:
    deep = rows.lengths >= depth
    sizes = np.unique(rows.prefixes(depth)[deep], return_counts=True)[1]
    return DepthReport(
        depth=depth,
        tokens=len(np.unique(rows.tokens[deep, depth - 1])),
        prefixes=len(sizes),
        largest=int(sizes.max()),
        entropy=_entropy(sizes),
        max_children=int(children.max()),
        single_child_share=float((children == 1).mean()),
        identified=float((unique <= depth).mean()),
    )


def _counter_groups(identifiers: Identifiers) -> NDArray[np.int64]:
    """Return the sizes of the groups whose members differ only in a last token that counts 0, 1, 2, …."""
    last = identifiers.tokens[np.arange(len(identifiers)), identifiers.lengths - 1]
    numbers = np.array([int(piece) if _is_number(piece) else -1 for piece in identifiers.pieces], dtype=object)
    counted = np.flatnonzero(numbers[last] >= 0)
    if not len(counted):
        return np.zeros(0, dtype=np.int64)
    before = identifiers.tokens[counted].copy()
    before[np.arange(len(counted)), identifiers.lengths[counted] - 1] = -1
    groups, sizes = np.unique(before, axis=0, return_inverse=True, return_counts=True)[1:]
    highest = np.zeros(len(sizes), dtype=np.int64)
    np.maximum.at(highest, groups, np.minimum(numbers[last[counted]], len(identifiers)).astype(np.int64))
    return np.asarray(sizes[(sizes > 1) & (highest == sizes - 1)], dtype=np.int64)


def _marked(identifiers: Identifiers, marks: Sequence[bool]) -> NDArray[np.bool_]:
    return np.append(np.array(marks, dtype=np.bool_), False)[identifiers.tokens]  # padding −1 takes the last entry


def _is_number(piece: str) -> bool:
    return piece.isascii() and piece.isdigit()


def _entropy(counts: NDArray[np.integer]) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0
