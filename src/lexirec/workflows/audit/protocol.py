"""How figures are made: seen items, caps, candidates, beams, checkpoints, and what a sample of this size can show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.data.sequences import Sequences
from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.evaluation.metrics import ranks_in_scores
from lexirec.evaluation.significance import compare_ranks
from lexirec.models.baselines.memory import TRANSITIONS, Memory, MemorySettings
from lexirec.models.gram.settings import GramSettings
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.workflows.audit.evidence import Evidence, rows_of, times_taken
from lexirec.workflows.audit.findings import Finding, NotLookedError, percent

_SAMPLE = 4000
_FEW, _MATTERS = 5, 0.005
"""So few users and so many cases (a share of all) make a figure theirs."""
_BLOCK = 1 << 24
_FEW_DRAWS = Bootstrap(replicates=1000)
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
    """Count targets that stand in their own history, and say what that is worth under both seen protocols."""
    cases = evidence.split.test
    rows = rows_of(cases)
    hit = np.unique(rows[cases.histories.items == cases.targets[rows]])
    if not len(hit):
        return
    share, seen = len(hit) / len(cases), evidence.experiment.evaluation.seen
    yield Finding(
        "distortion" if share >= 0.01 and seen[0] == "excluded" else "note",
        f"{len(hit):,} of {len(cases):,} test targets ({percent(share)}) stand in their own history",
        f"seen items excluded: down, {share:.4f} of recall cannot be reached; included: these cases are easy "
        f"for whoever repeats the history. Measured here: {' and '.join(seen)}, the first is the headline",
        "report both; where repeats are part of the business, make 'included' the headline",
        share,
        evidence.case_names(cases, hit),
    )
    yield from _few_repeaters(evidence, hit)


def _few_repeaters(evidence: Evidence, hit: NDArray[np.int64]) -> Iterator[Finding]:
    """Tell where a handful of users make up half of the repeats: what a model does for them moves the figures."""
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
        f"seen items included: whether a model happens to repeat for so few moves recall by up to {share:.4f}, which "
        "looks like a difference between systems",
        "look at seen items excluded, too, and compare with whole users resampled (lexirec compare does)",
        share,
        evidence.case_names(cases, mine),
    )


def cut_histories(evidence: Evidence) -> Iterator[Finding]:
    """Count histories that are cut, by the data's cap or by a model's own, and seen items that filters forget so."""
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
                f"{at_most}{int(cut.sum()):,} of {len(cases):,} test histories ({percent(share)}) are cut to their "
                f"newest {cap} items",
                "down for whoever could read more; the seen filter forgets what is cut away, so that such items may be "
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
            "give both the same, unless the difference is meant",
            share,
        )


def candidates(evidence: Evidence) -> Iterator[Finding]:
    """Find figures that rank fewer items than there are, or fewer cases."""
    for name, of_seen in evidence.reports.items():
        for seen, report in of_seen.items():
            ranked = report.protocol.get("candidates", evidence.n_items)
            if ranked < evidence.n_items:
                yield Finding(
                    "distortion",
                    f"{name} (seen items {seen}) ranked {ranked:,} candidates of {evidence.n_items:,} items",
                    f"up, severalfold: a guess finds its target among 10 with probability {10 / ranked:.4f} instead of "
                    f"{10 / evidence.n_items:.5f}, and sampled figures need not even keep the order of systems",
                    "rank the whole catalogue",
                )
            if report.invalid:
                places = len(report.ranks) * int(report.protocol.get("list_length", 1))
                yield Finding(
                    "distortion",
                    f"{report.invalid:,} of {places:,} places in the lists of {name} (seen items {seen}) hold no item, "
                    "or one that stands above already",
                    f"down: these places cannot hit; {report.invalid / max(len(report.ranks), 1):.2f} of them a case",
                    "widen the beams (model.search.num_beams) or ask for shorter lists",
                )
    sample = evidence.experiment.evaluation.sample_users
    if sample is not None and sample < len(evidence.split.test):
        yield Finding(
            "note",
            f"{sample:,} of {len(evidence.split.test):,} cases are measured",
            f"either way: intervals are {np.sqrt(len(evidence.split.test) / sample):.1f} times as wide as need be",
            "leave evaluation.sample_users out for figures that are published",
        )


def beams(evidence: Evidence) -> Iterator[Finding]:
    """Find beams too narrow for their lists, and length penalties that favour long or short identifiers."""
    model = evidence.experiment.model
    if model is None:
        raise NotLookedError("there is no generative model")
    longest = max(evidence.experiment.evaluation.ks)
    if model.search.num_beams < longest:
        yield Finding(
            "distortion",
            f"beams are {model.search.num_beams} wide, lists are {longest} long",
            f"down: places beyond {model.search.num_beams} are filled by luck, so recall@{longest} is not what it says",
            f"set model.search.num_beams to {longest} or more, or cut evaluation.ks",
        )
    if model.search.length_penalty is not None and evidence.identifiers is not None:
        lengths = evidence.identifiers.lengths
        odd = float((lengths != np.bincount(lengths).argmax()).mean())
        if odd:
            yield Finding(
                "note",
                f"scores are divided by length ** {model.search.length_penalty}, and identifiers have "
                f"{int(lengths.min())} to {int(lengths.max())} tokens, {percent(odd)} of them not as many as most",
                "either way: items with longer identifiers gain, whatever the model thinks of them",
                "leave model.search.length_penalty out, unless a published protocol is followed",
            )


def generation_defaults(evidence: Evidence) -> Iterator[Finding]:
    """Read what checkpoints on this disk say about generating, and find what would bend a constrained search."""
    for name, folder in evidence.need("checkpoints").items():
        told = {key: value for file in ("config.json", "generation_config.json") for key, value in _read(folder / file)}
        bends = {
            key: value
            for key, value in told.items()
            if key in _DEFAULTS and value is not None and value != _DEFAULTS[key] and key not in _HARMLESS
        }
        if bends:
            said = ", ".join(f"{key} = {value}" for key, value in sorted(bends.items()))
            yield Finding(
                "note",
                f"the checkpoint of the {name} brings generation defaults: {said}",
                "none here: our beams do not ask the checkpoint. With Hugging Face `generate` they silently override a "
                "beam search: sampling draws at random, a repetition penalty punishes tokens of the history (21.8 % "
                "off HR@1 in one report)",
                "whoever decodes it elsewhere has to pass every such setting, or remove the file",
                None,
                (str(folder),),
            )


def _read(file: Path) -> list[tuple[str, Any]]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(value.items()) if isinstance(value, dict) else []


# ---------------------------------------------------------------------------------- what a sample of this size can show


def small_differences(evidence: Evidence) -> Iterator[Finding]:
    """Say which differences this test set can show, and which stored ones are smaller than that."""
    cases = evidence.split.test
    users = len(np.unique(cases.users))
    if len(cases) > 1.05 * users:
        yield Finding(
            "note",
            f"{len(cases):,} test cases belong to {users:,} users",
            "intervals by case are too narrow, tests by case find differences that are none",
            "draw users, not cases, as lexirec compare does",
        )
    if users < 2:
        return
    stored = [(name, report) for name, of_seen in evidence.reports.items() for report in list(of_seen.values())[:1]]
    if len(stored) >= 2:
        yield from _stored(stored)
        return
    value, least = _expected(evidence)
    yield Finding(
        "note",
        f"with {users:,} test users a difference in NDCG@10 can be told from chance from about {least:.4f} on "
        f"({percent(least / value) if value else 'any'} of what transitions reach, {value:.4f}; probability .8 at "
        "level .05, judged by two baselines that count)",
        "smaller differences between systems are noise more often than not",
        "lexirec compare says which differences are more than chance",
    )


def _stored(stored: list[tuple[str, Any]]) -> Iterator[Finding]:
    ranked = sorted(stored, key=lambda each: -each[1].metrics.get("ndcg@10", 0.0))
    (best, first), others = ranked[0], ranked[1:]
    small = []
    for name, report in others:
        if len(report.ranks) != len(first.ranks):
            continue
        users = first.cases.get("user", np.arange(len(first.ranks)))
        told = compare_ranks(first.ranks, report.ranks, users, bootstrap=_FEW_DRAWS)
        if abs(told.value) < told.detectable(comparisons=len(others)):
            least = told.detectable(comparisons=len(others))
            small.append(f"{name} ({told.value:+.4f}, detectable from {least:.4f} on)")
    if small:
        yield Finding(
            "note",
            f"{best} leads by NDCG@10, but these differences are smaller than what this test set can show: "
            f"{'; '.join(small)}",
            "a claim that rests on them would not survive another sample of users",
            "more users, more seeds, or no claim; lexirec compare has intervals and p-values",
        )


def _expected(evidence: Evidence) -> tuple[float, float]:
    """Return NDCG@10 of transitions on a sample of cases, and the detectable difference to M0, scaled to all cases."""
    cases = evidence.split.test
    chosen = np.random.default_rng(0).choice(len(cases), min(_SAMPLE, len(cases)), replace=False)
    some = cases.take(np.sort(chosen))
    ranks = []
    for settings in (TRANSITIONS, MemorySettings()):
        counter = Memory(settings).fit(evidence.split.train, evidence.n_items)
        ranks.append(_ranks(counter, some.histories, some.targets, evidence.n_items))
    told = compare_ranks(ranks[0], ranks[1], some.users, bootstrap=_FEW_DRAWS)
    gains = np.where((ranks[0] >= 1) & (ranks[0] <= 10), 1 / np.log2(ranks[0] + 1.0), 0.0)
    return float(gains.mean()), told.detectable() * float(np.sqrt(len(some) / len(cases)))


def _ranks(counter: Memory, histories: Sequences, targets: Any, n_items: int) -> Any:
    size, found = max(1, _BLOCK // max(n_items, 1)), []
    for first in range(0, len(histories), size):
        rows = np.arange(first, min(first + size, len(histories)))
        found.append(ranks_in_scores(counter.scores(histories.take(rows)), targets[rows]))
    return np.concatenate(found)


def seeds(evidence: Evidence) -> Iterator[Finding]:
    """Say so where figures rest on one seed of something random."""
    if evidence.says("seed") and len(evidence.seeds) == 1:
        yield Finding(
            "note",
            f"the experiment has finished with one seed ({evidence.seeds[0]})",
            "either way: differences of trained models between seeds (.001 to .004 of NDCG@10 is usual) look like "
            "differences between systems",
            "lexirec run EXPERIMENT.toml --set seed=1, and 2; lexirec compare NAME@all takes seeds as a factor",
        )
