"""Audit checks of the protocol: seen items, truncated histories, candidates, beams, generation defaults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.models.gram.settings import GramSettings
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.workflows.audit.evidence import Evidence, rows_of, times_taken
from lexirec.workflows.audit.findings import Finding, NotLookedError, percent

_FEW, _MATTERS = 5, 0.005
"""At most so few users with at least this share of all cases dominate a figure."""
_DEFAULTS: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "min_length": 0,
    "min_new_tokens": None,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "early_stopping": False,
    "diversity_penalty": 0.0,
    "num_beam_groups": 1,
    "max_length": 20,
}
_HARMLESS = {"num_beams", "early_stopping", "max_length"}


def repeated_targets(evidence: Evidence) -> Iterator[Finding]:
    """Count targets in their own history, and their effect under both treatments of seen items."""
    cases = evidence.split.test
    rows = rows_of(cases)
    hit = np.unique(rows[cases.histories.items == cases.targets[rows]])
    if not len(hit):
        return
    share, seen = len(hit) / len(cases), evidence.experiment.evaluation.seen
    yield Finding(
        "distortion" if share >= 0.01 and seen[0] == "excluded" else "note",
        f"{len(hit):,} of {len(cases):,} test targets ({percent(share)}) occur in their own history",
        f"seen items excluded: down, {share:.4f} of recall cannot be reached; included: repeating the history "
        f"solves these cases. Evaluated here: {' and '.join(seen)}, the first is the headline",
        "report both; where repeats matter, make 'included' the headline",
        share,
        evidence.case_names(cases, hit),
    )
    yield from _few_repeaters(evidence, hit)


def _few_repeaters(evidence: Evidence, hit: NDArray[np.int64]) -> Iterator[Finding]:
    """Report where at most five users make up half of the repeats and so dominate the figures."""
    cases = evidence.split.test
    users, counts = np.unique(cases.users[hit], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    few = int(np.searchsorted(np.cumsum(counts[order]), len(hit) / 2)) + 1
    theirs = int(counts[order[:few]].sum())
    share = theirs / len(cases)
    if few > _FEW or share < _MATTERS or "included" not in evidence.experiment.evaluation.seen:
        return
    mine = hit[np.isin(cases.users[hit], users[order[:few]])]
    yield Finding(
        "distortion",
        f"{few} {'user makes' if few == 1 else 'users make'} up {theirs:,} of the {len(hit):,} repeats, "
        f"{percent(share)} of all test cases",
        f"seen items included: repeats for these users move recall by up to {share:.4f}, which looks like a difference "
        "between systems",
        "also report seen items excluded, and compare by resampling whole users (as lexirec compare does)",
        share,
        evidence.case_names(cases, mine),
    )


def cut_histories(evidence: Evidence) -> Iterator[Finding]:
    """Count histories truncated by the data or the model, and seen items that the filter misses for that."""
    cases, cap = evidence.split.test, int(evidence.split.protocol.get("max_history", 0))
    full = cases.histories.lengths >= cap
    if cap and full.any():
        cut, forgotten = full, np.zeros(len(cases), dtype=bool)
        at_most = "at most "
        if evidence.interactions is not None:
            at_most = ""
            asked = evidence.keys(cases.users, cases.targets)
            in_history = np.zeros(len(cases), dtype=bool)
            rows = rows_of(cases)
            in_history[rows[cases.histories.items == cases.targets[rows]]] = True
            forgotten = (times_taken(evidence.event_keys, asked) > 1) & ~in_history & full
            cut = full & (evidence.interactions.sequences.lengths[cases.users] > cap + 1)
        share = float(cut.mean())
        if share:
            yield Finding(
                "note",
                f"{at_most}{int(cut.sum()):,} of {len(cases):,} test histories ({percent(share)}) are truncated to "
                f"their newest {cap} items",
                "down for models that could read more; the seen filter misses truncated items, so that they may be "
                f"recommended ({int(forgotten.sum()):,} targets may be such repeats)",
                "raise data.max_history if long histories matter",
                share,
            )
    model = evidence.experiment.model
    reads = model.network.max_history if isinstance(model, GramSettings) else None
    reads = model.prompts.max_history if isinstance(model, TSRecSettings) else reads
    if reads is not None and reads < cap:
        share = float((cases.histories.lengths > reads).mean())
        yield Finding(
            "note",
            f"the model reads {reads} items of a history, the baselines up to {cap}; {percent(share)} of the test "
            "histories are longer",
            "down for the model alone",
            "use the same length for both, unless the difference is intended",
            share,
        )


def candidates(evidence: Evidence) -> Iterator[Finding]:
    """Find evaluations on fewer candidates or cases than there are, and invalid list positions."""
    for name, of_seen in evidence.reports.items():
        for seen, report in of_seen.items():
            ranked = report.protocol.get("candidates", evidence.n_items)
            if ranked < evidence.n_items:
                yield Finding(
                    "distortion",
                    f"{name} (seen items {seen}) ranked {ranked:,} candidates of {evidence.n_items:,} items",
                    f"up, severalfold: random lists of 10 hit with probability {10 / ranked:.4f} instead of "
                    f"{10 / evidence.n_items:.5f}, and sampled metrics may change the order of systems",
                    "rank the whole catalogue",
                )
            if report.invalid:
                places = len(report.ranks) * int(report.protocol.get("list_length", 1))
                yield Finding(
                    "distortion",
                    f"{report.invalid:,} of {places:,} list positions of {name} (seen items {seen}) are empty or "
                    "repeat an item",
                    f"down: these positions cannot hit; {report.invalid / max(len(report.ranks), 1):.2f} per case",
                    "widen the beams (model.search.num_beams) or use shorter lists",
                )
    sample = evidence.experiment.evaluation.sample_users
    if sample is not None and sample < len(evidence.split.test):
        yield Finding(
            "note",
            f"{sample:,} of {len(evidence.split.test):,} cases are evaluated",
            f"either way: intervals are {np.sqrt(len(evidence.split.test) / sample):.1f} times as wide as necessary",
            "remove evaluation.sample_users for published figures",
        )


def beams(evidence: Evidence) -> Iterator[Finding]:
    """Find beams narrower than the lists, and length penalties that favour long or short identifiers."""
    model = evidence.experiment.model
    if model is None:
        raise NotLookedError("there is no generative model")
    longest = max(evidence.experiment.evaluation.ks)
    if model.search.num_beams < longest:
        yield Finding(
            "distortion",
            f"the beam width is {model.search.num_beams}, lists hold {longest} items",
            f"down: positions beyond {model.search.num_beams} are not searched, so recall@{longest} is too low",
            f"set model.search.num_beams to {longest} or more, or lower evaluation.ks",
        )
    if model.search.length_penalty is not None and evidence.identifiers is not None:
        lengths = evidence.identifiers.lengths
        odd = float((lengths != np.bincount(lengths).argmax()).mean())
        if odd:
            yield Finding(
                "note",
                f"scores are divided by length ** {model.search.length_penalty}, and identifiers have "
                f"{int(lengths.min())} to {int(lengths.max())} tokens, {percent(odd)} not of the most "
                "frequent length",
                "either way: items with longer identifiers gain, independently of the model",
                "remove model.search.length_penalty, unless it reproduces a published protocol",
            )


def generation_defaults(evidence: Evidence) -> Iterator[Finding]:
    """Find generation defaults of local checkpoints that would change a constrained search."""
    for name, folder in evidence.need("checkpoints").items():
        defaults = {
            key: value for file in ("config.json", "generation_config.json") for key, value in _read(folder / file)
        }
        changes = {
            key: value
            for key, value in defaults.items()
            if key in _DEFAULTS and value is not None and value != _DEFAULTS[key] and key not in _HARMLESS
        }
        if changes:
            listed = ", ".join(f"{key} = {value}" for key, value in sorted(changes.items()))
            yield Finding(
                "note",
                f"the checkpoint of the {name} sets generation defaults: {listed}",
                "none here: our beam search ignores them. With Hugging Face `generate` they silently change "
                "a beam search: sampling adds noise, a repetition penalty lowers tokens of the history (21.8 % off "
                "HR@1 in one report)",
                "when decoding elsewhere, pass every such setting or remove the file",
                None,
                (str(folder),),
            )


def _read(file: Path) -> list[tuple[str, Any]]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(value.items()) if isinstance(value, dict) else []
