"""SA-Init: semantic-aware initial embeddings of semantic-ID tokens, from the keywords of their items (TS-Rec).

A token's row becomes a weighted mean of the rows of its keywords' sub-words, scaled to a norm. All rows are computed in
one product of a sparse matrix with the table as it was before, so the result does not depend on an order (the
reference measures norms anew after every row it writes). Input and output tables are treated alike, each from its own
rows.

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
    """Write the rows of the tokens in place; all other rows stay equal bit by bit.

    Tokens without sub-words in their keywords keep their rows and are counted.

    Args:
        backbone: Model and tokenizer, which already has the tokens (`add_tokens`).
        words: Each token once, with its keywords.
        settings: Pooling, norm and levels.

    Returns:
        A report in JSON values: tokens written and left, different sub-words per token, and per table the norm and the
        mean cosine between two tokens of each level (near 1: the level's tokens are hardly distinguishable).

    Raises:
        SettingsError: a token is unknown or occurs twice, weights do not fit, or no token is left to write.
    """
    settings = settings or SaInitSettings()
    ids = _ids_of(backbone.tokenizer, words)
    chosen = np.array([settings.levels is None or word.level in settings.levels for word in words], dtype=bool)
    if not chosen.any():
        raise SettingsError(
            f"sa_init.levels is {settings.levels}, but these levels have no tokens with keywords; set others"
        )
    picked = [word for word, kept in zip(words, chosen, strict=True) if kept]
    levels = np.array([word.level for word in picked])
    shares = keyword_shares(backbone.tokenizer, picked, settings.pooling)
    if settings.shuffled:
        shares = shares[_others(levels, settings.seed)]
    has_words = np.diff(shares.indptr) > 0
    if not has_words.any():
        raise SettingsError("sa_init: no token has a keyword; give a lexicon of the tokens' cells")
    target = _Target(ids[chosen][has_words], ids, levels[has_words], len(backbone.tokenizer))
    tables = {"input": backbone.model.get_input_embeddings().weight}
    if backbone.model.get_output_embeddings().weight is not tables["input"] and settings.outputs:
        tables["output"] = backbone.model.get_output_embeddings().weight
    report: dict[str, Any] = {"tokens": int(has_words.sum()), "without_words": int((~has_words).sum())}
    report["sub_words"] = float(np.diff(shares.indptr)[has_words].mean())
    for name, table in tables.items():
        report[name] = _write(table, shares[has_words], target, settings)
    return report


@dataclass(frozen=True, eq=False)
class _Target:
    """Rows to be written (T,), rows of all tokens of semantic IDs, levels (T,) and the size of the vocabulary."""

    ids: NDArray[np.int64]
    all_ids: NDArray[np.int64]
    levels: NDArray[np.int64]
    vocabulary: int


def _write(table: Tensor, shares: sparse.csr_array, target: _Target, settings: SaInitSettings) -> dict[str, Any]:
    used, columns = np.unique(shares.indices, return_inverse=True)
    narrow = sparse.csr_array((shares.data, columns, shares.indptr), shape=(shares.shape[0], len(used)))
    # only sub-words in use are copied from the table, in float64: a mean over many rows loses less
    rows_TD = narrow @ table[torch.from_numpy(used).to(table.device)].double().cpu().numpy()
    if settings.residual:
        rows_TD = _without_level_means(rows_TD, target.levels)
    norm = _norm(table, target, settings)
    if norm is not None:
        rows_TD *= norm / np.maximum(np.linalg.norm(rows_TD, axis=1, keepdims=True), _TINY)
    ids_T = torch.from_numpy(target.ids).to(table.device)
    table[ids_T] = torch.from_numpy(rows_TD).to(device=table.device, dtype=table.dtype)
    return {"norm": norm, "cosine": _cosines(rows_TD, target.levels)}


def _norm(table: Tensor, target: _Target, settings: SaInitSettings) -> float | None:
    """Return the norm of the new rows, measured before any is written."""
    if settings.norm == "none":
        return None
    if settings.norm == "resize":
        rows = table[torch.from_numpy(target.ids).to(table.device)]
        return float(torch.linalg.vector_norm(rows.double(), dim=1).mean())
    trained = np.ones(target.vocabulary, dtype=bool)  # rows beyond the vocabulary are spare and untrained
    trained[target.all_ids] = False
    norms = torch.linalg.vector_norm(table[: target.vocabulary], dim=1, dtype=torch.float32).double()
    return float(norms[torch.from_numpy(trained).to(table.device)].mean())


def _others(levels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return for each token another one of its level, in one random cycle; itself where it is the only one."""
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
    cosines = {}
    for level in np.unique(levels):
        of_level = units_TD[levels == level]
        if len(of_level) > 1:
            cosines[str(level)] = float(
                (np.square(of_level.sum(0)).sum() - len(of_level)) / (len(of_level) * (len(of_level) - 1))
            )
    return cosines


def _ids_of(tokenizer: PreTrainedTokenizerBase, words: Sequence[TokenWords]) -> NDArray[np.int64]:
    vocabulary, seen = tokenizer.get_vocab(), set()
    for word in words:
        if word.token not in vocabulary:
            raise SettingsError(
                f"token '{word.token}' is not in the tokenizer's vocabulary; add it with `add_tokens` first"
            )
        if word.token in seen:
            raise SettingsError(f"token '{word.token}' occurs twice; give each token once, with all its words")
        seen.add(word.token)
    return np.array([vocabulary[word.token] for word in words], dtype=np.int64)
