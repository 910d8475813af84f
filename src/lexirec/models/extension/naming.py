"""Choose how a generative recommender's new items are named, from what its stages stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from lexirec.data.catalog import Catalog
from lexirec.models.extension.artifacts import Artifacts
from lexirec.models.extension.occupied import Occupied
from lexirec.models.extension.own_terms import first_pieces, own_terms
from lexirec.models.extension.placing import CodePlacing, TextPlacing, TreePlacing, Wishes
from lexirec.semantic_ids.codes import Codes, token_of
from lexirec.semantic_ids.identifiers.identifiers import counters_of
from lexirec.semantic_ids.quantizers.assignment import cell_means
from lexirec.semantic_ids.quantizers.codebook import Codebook, Space

_MOST_CODES = 1 << 16


class Placing(Protocol):
    """A way to name items."""

    def place(self, vectors: NDArray[np.float32], occupied: Occupied) -> list[list[int] | None]:
        """Return the identifiers of items with these vectors, in order, and enter them; None for refused items."""


@dataclass(frozen=True, eq=False)
class Named:
    """A recommender's vocabulary and trained identifiers.

    Attributes:
        tokenizer: Of its backbone.
        trained: int32 (n_trained, longest), identifiers of the items that it was trained with, in their order.
        vectors: float32 (n_trained, d), the vectors of these items.
    """

    tokenizer: PreTrainedTokenizerBase
    trained: NDArray[np.int32]
    vectors: NDArray[np.float32]


def placing_of(rows: Catalog, named: Named, artifacts: Artifacts) -> Placing:
    """Return the way in which the items `rows` get identifiers.

    Identifiers of code tokens are coded by the codebook; where the codes were published, so that there is none, its
    codes are the means of what the items of a cell leave at a level. All other identifiers are a tree.
    """
    scheme = artifacts.settings.get("identifiers", {})
    codes = artifacts.codes
    kind, cut = scheme.get("kind"), scheme.get("cut", "full") == "shortest-unique"
    if kind == "codes" and codes is not None and codes.kind == "residual":
        return _by_codes(codes, named, artifacts)
    counters = named.tokenizer.convert_tokens_to_ids(counters_of(named.tokenizer))
    if kind in ("keyword", "text"):
        wishes = (
            own_terms(rows, artifacts.catalog, named.tokenizer, {})
            if kind == "keyword"
            else first_pieces(rows.field(str(scheme["field"])), named.tokenizer, scheme)
        )
        return TextPlacing(wishes, counters, int(scheme.get("length", 7)), cut)
    levels = 0 if cut or codes is None else codes.levels
    if kind == "codes":
        return TreePlacing(named.trained, named.vectors, _codes_as_wishes(named), levels)
    lexicon = artifacts.settings.get("lexicon", {})
    terms = own_terms(rows, artifacts.catalog, named.tokenizer, lexicon)
    deepest = codes.levels if codes is not None else named.trained.shape[1]
    return TreePlacing(named.trained, named.vectors, _terms_as_wishes(terms, counters, named, deepest), levels)


def _terms_as_wishes(terms: Sequence[Sequence[int]], counters: Sequence[int], named: Named, deepest: int) -> Wishes:
    """Wish for the item's own terms, those first that identifiers already have, and then for counters."""
    used = set(np.unique(named.trained).tolist())
    sorted_terms = [[*(t for t in row if t in used), *(t for t in row if t not in used)] for row in terms]

    def wishes(item: int, depth: int) -> Sequence[int]:
        # behind the last level items were counted, not named
        return [*sorted_terms[item], *counters] if depth < deepest else counters

    return wishes


def _codes_as_wishes(named: Named) -> Wishes:
    """Wish for the codes of a level in order, as items of one cell are numbered."""
    known = named.tokenizer.get_vocab()
    per_level = [[token for _, token in sorted(_code_tokens(known, letter).items())] for letter in ascii_lowercase]

    def wishes(item: int, depth: int) -> Sequence[int]:
        return per_level[depth] if depth < len(per_level) else []

    return wishes


def _code_tokens(known: Mapping[str, int], letter: str) -> dict[int, int]:
    """Return the tokens `<a_0>`, `<a_1>` … of a level by their code."""
    start = f"<{letter}_"
    found = {
        piece[len(start) : -1]: token for piece, token in known.items() if piece.startswith(start) and piece[-1] == ">"
    }
    return {int(code): token for code, token in found.items() if code.isdigit() and int(code) < _MOST_CODES}


def _by_codes(codes: Codes, named: Named, artifacts: Artifacts) -> CodePlacing:
    codebook = artifacts.codebook or means_as_codebook(codes, named.vectors, artifacts.semantic_levels)
    known: dict[str, int] = named.tokenizer.get_vocab()
    tokens = [
        np.array([known.get(token_of(level, code), -1) for code in range(len(centroids))], dtype=np.int64)
        for level, centroids in enumerate(codebook.centroids)
    ]
    behind = _code_tokens(known, ascii_lowercase[codebook.levels])
    counters = [behind[code] for code in sorted(behind)]
    rule = (artifacts.settings.get("codes", {}).get("collisions") or {}).get("rule", "level")
    return CodePlacing(codebook, tokens, counters, codes.levels > codebook.levels, counted_first=rule == "level")


def means_as_codebook(codes: Codes, vectors: NDArray[np.float32], levels: int) -> Codebook:
    """Rebuild a codebook: the mean of what the items of each code leave at its level; unused codes are far away."""
    rest, centroids = vectors.astype(np.float32), []
    for level in range(levels):
        used, cells = np.unique(codes.values[:, level], return_inverse=True)
        means = cell_means(rest, cells, len(used))
        points = np.full((int(used.max()) + 1, vectors.shape[1]), 1e6, dtype=np.float32)
        points[used] = means
        centroids.append(points)
        rest = rest - means[cells]
    return Codebook(Space.plain(vectors.shape[1]), tuple(centroids))


def semantic_ids_of(
    identifiers: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase, levels: int
) -> NDArray[Any]:
    """Return the codes that identifiers of code tokens spell: int32 (items, levels), −1 for other tokens."""
    values = np.full((len(identifiers), levels), -1, dtype=np.int32)
    for row, identifier in enumerate(identifiers):
        for level, piece in enumerate(tokenizer.convert_ids_to_tokens(list(identifier))[:levels]):
            code = piece.rpartition("_")[2].rstrip(">")
            values[row, level] = int(code) if code.isdigit() else -1
    return values
