"""SA-Init: the tokens of semantic IDs start with the meaning of the words that describe their items (TS-Rec).

A token's row becomes a weighted mean of the rows of its keywords' sub-words, brought to a norm. All rows are computed
in one product of a sparse matrix with the table as it was before, so that nothing depends on an order (the reference
measures norms anew after every row it writes), and input and output tables are treated alike, each with its own rows.

Source: TS-Rec (arXiv 2602.22632), section 6.2 of our specification; `pooling = "joined"`, `norm = "vocabulary"` and
`outputs = false` is what its code does.

Legend: `T` tokens to be written, `U` sub-words in use, `D` width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lexirec.core.errors import SettingsError
from lexirec.models.tsrec.keywords import TokenWords, keyword_shares
from lexirec.models.tsrec.settings import SaInitSettings
from lexirec.nn.t5 import Backbone

_TINY = 1e-12


@torch.no_grad()
def sa_init(backbone: Backbone, words: Sequence[TokenWords], settings: SaInitSettings | None = None) -> dict[str, Any]:
    """Write the rows of the tokens in place; every other row stays as it is, bit by bit.

    Tokens whose keywords hold no sub-word keep their rows and are counted.

    Args:
        backbone: Model and tokenizer, which already has the tokens (`add_tokens`).
        words: Each token once, with its keywords.
        settings: How.

    Returns:
        What was done, as JSON values: tokens written and left, different sub-words per token, per table the norm and
        the mean cosine between two tokens of each level (near 1: the level's tokens are hardly told apart).

    Raises:
        SettingsError: a token is unknown or given twice, weights do not fit, or no level is left to write.
    """
    settings = settings or SaInitSettings()
    ids = _ids_of(backbone.tokenizer, words)
    chosen = np.array([settings.levels is None or word.level in settings.levels for word in words], dtype=bool)
    if not chosen.any():
        raise SettingsError(f"sa_init.levels is {settings.levels}, but no token of these levels has words")
    picked = [word for word, kept in zip(words, chosen, strict=True) if kept]
    levels = np.array([word.level for word in picked])
    shares = keyword_shares(backbone.tokenizer, picked, settings.pooling)
    if settings.shuffled:
        shares = shares[_others(levels, settings.seed)]
    there = np.diff(shares.indptr) > 0
    if not there.any():
        raise SettingsError("no token to be written has a keyword; give a lexicon that names the tokens' cells")
    target = _Target(ids[chosen][there], ids, levels[there], len(backbone.tokenizer))
    tables = {"input": backbone.model.get_input_embeddings().weight}
    if backbone.model.get_output_embeddings().weight is not tables["input"] and settings.outputs:
        tables["output"] = backbone.model.get_output_embeddings().weight
    report: dict[str, Any] = {"tokens": int(there.sum()), "without_words": int((~there).sum())}
    report["sub_words"] = float(np.diff(shares.indptr)[there].mean())
    for name, table in tables.items():
        report[name] = _write(table, shares[there], target, settings)
    return report


@dataclass(frozen=True, eq=False)
class _Target:
    """Rows to be written (T,), rows of all tokens of semantic IDs, levels (T,) and the size of the vocabulary."""

    ids: NDArray[np.int64]
    all_ids: NDArray[np.int64]
    levels: NDArray[np.int64]
    vocabulary: int


def _write(table: Tensor, shares: sparse.csr_array, target: _Target, settings: SaInitSettings) -> dict[str, Any]:
    used, places = np.unique(shares.indices, return_inverse=True)
    narrow = sparse.csr_array((shares.data, places, shares.indptr), shape=(shares.shape[0], len(used)))
    rows_TD = narrow @ table[torch.from_numpy(used).to(table.device)].double().cpu().numpy()
    if settings.residual:
        rows_TD = _without_level_means(rows_TD, target.levels)
    norm = _norm(table, target, settings)
    if norm is not None:
        rows_TD *= norm / np.maximum(np.linalg.norm(rows_TD, axis=1, keepdims=True), _TINY)
    places_T = torch.from_numpy(target.ids).to(table.device)
    table[places_T] = torch.from_numpy(rows_TD).to(device=table.device, dtype=table.dtype)
    return {"norm": norm, "cosine": _cosines(rows_TD, target.levels)}


def _norm(table: Tensor, target: _Target, settings: SaInitSettings) -> float | None:
    """Return the length the rows shall have, measured before anything is written."""
    if settings.norm == "none":
        return None
    if settings.norm == "resize":
        rows = table[torch.from_numpy(target.ids).to(table.device)]
        return float(torch.linalg.vector_norm(rows.double(), dim=1).mean())
    known = np.ones(target.vocabulary, dtype=bool)  # rows beyond the vocabulary are spare, nobody has trained them
    known[target.all_ids] = False
    norms = torch.linalg.vector_norm(table[: target.vocabulary], dim=1, dtype=torch.float32).double()
    return float(norms[torch.from_numpy(known).to(table.device)].mean())


def _others(levels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return for each token another one of its level (itself where it is alone), in one random round."""
    random = np.random.default_rng(seed)
    others = np.arange(len(levels))
    for level in np.unique(levels):
        order = random.permutation(np.flatnonzero(levels == level))
        others[order] = np.roll(order, 1)
    return others


def _without_level_means(rows_TD: NDArray[np.float64], levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Subtract each level's mean; a level of one token keeps its row."""
    _, group, counts = np.unique(levels, return_inverse=True, return_counts=True)
    members = sparse.csr_array((1.0 / counts[group], (group, np.arange(len(group)))))
    means = np.asarray(members @ rows_TD) * (counts > 1)[:, None]
    return np.asarray(rows_TD - means[group])


def _cosines(rows_TD: NDArray[np.float64], levels: NDArray[np.int64]) -> dict[str, float]:
    """Return the mean cosine between two different tokens of each level."""
    units_TD = rows_TD / np.maximum(np.linalg.norm(rows_TD, axis=1, keepdims=True), _TINY)
    found = {}
    for level in np.unique(levels):
        mine = units_TD[levels == level]
        if len(mine) > 1:
            found[str(level)] = float((np.square(mine.sum(0)).sum() - len(mine)) / (len(mine) * (len(mine) - 1)))
    return found


def _ids_of(tokenizer: PreTrainedTokenizerBase, words: Sequence[TokenWords]) -> NDArray[np.int64]:
    known, seen = tokenizer.get_vocab(), set()
    for word in words:
        if word.token not in known:
            raise SettingsError(
                f"the token '{word.token}' is not in the tokenizer's vocabulary; add it first, then its words"
            )
        if word.token in seen:
            raise SettingsError(f"the token '{word.token}' is given twice; give each token once, with all its words")
        seen.add(word.token)
    return np.array([known[word.token] for word in words], dtype=np.int64)
