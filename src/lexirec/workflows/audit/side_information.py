"""Audit checks of inputs and baselines: neighbours, vectors, identifiers, texts and fitted baselines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from lexirec.data.neighbors import Neighbors, co_occurrence, nearest, pair_counts
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.base import popularity
from lexirec.models.baselines.memory import Memory
from lexirec.models.baselines.sasrec import Sasrec
from lexirec.pipeline.components import CoOccurrenceNeighbors, MemoryNeighbors, SasrecNeighbors, VectorNeighbors
from lexirec.semantic_ids.embeddings.item_embeddings import PrecomputedVectors, concatenate, normalized
from lexirec.semantic_ids.embeddings.svd import CollaborativeVectors
from lexirec.semantic_ids.identifiers.published import PublishedIdentifiers
from lexirec.semantic_ids.quantizers.published_codes import PublishedCodes
from lexirec.semantic_ids.quantizers.rqvae import RqVae
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Finding, NotLookedError, percent
from lexirec.workflows.audit.leakage_probe import best_of, nearest_of, probe, successions

_COMPANIONS = 20
_OF_CONTENT = ("lsa", "sentence-transformers", "images")
_ID_LENGTH = 6


def neighbors_know(evidence: Evidence) -> Iterator[Finding]:
    """Probe the neighbours; count-based ones are also recomputed from the training part and from all events."""
    neighbors, settings = evidence.need("neighbors"), evidence.experiment.neighbors
    if isinstance(settings, CoOccurrenceNeighbors | MemoryNeighbors):
        yield from _counted_anew(evidence, neighbors, settings)
    yield from _nearest_anew(evidence, neighbors, settings)
    ours = settings is not None and settings.kind != "published"
    yield from probe(
        evidence, lambda items: neighbors.items[items], neighbors.items.shape[1], "the neighbours", ours=ours
    )


def _counted_anew(
    evidence: Evidence, neighbors: Neighbors, settings: CoOccurrenceNeighbors | MemoryNeighbors
) -> Iterator[Finding]:
    from_training = same_neighbors(neighbors, _made(evidence, settings, evidence.split.train))
    if from_training > 0.99 or evidence.interactions is None:
        return
    from_all = same_neighbors(neighbors, _made(evidence, settings, evidence.interactions.sequences))
    if from_all > from_training:
        yield Finding(
            "leak",
            f"the neighbours are not those of the training part ({percent(from_training)} agree) but those of all "
            f"events ({percent(from_all)} agree)",
            "up: prompts and grounded rows contain pairs of held-out events",
            "run the stage neighbors again",
        )
    else:
        yield Finding(
            "distortion",
            f"the neighbours do not match the settings and training rows ({percent(from_training)} agree)",
            "either way: figures belong to other neighbours than the settings describe",
            "run the stage neighbors again",
        )


def _nearest_anew(evidence: Evidence, neighbors: Neighbors, settings: Any) -> Iterator[Finding]:
    """Find the nearest items again by the vectors that the settings name, where these are there."""
    if isinstance(settings, VectorNeighbors) and evidence.vectors:
        vectors, of = concatenate(list(evidence.vectors.values())), "[vectors]"
    elif isinstance(settings, SasrecNeighbors) and "neighbors.sasrec" in evidence.networks:
        vectors, of = Sasrec.load(evidence.networks["neighbors.sasrec"] / "scorer").item_vectors(), "its SASRec"
    else:
        return
    alike = same_neighbors(neighbors, nearest(vectors, settings.k))
    if alike < 0.99:
        yield Finding(
            "leak",
            f"the neighbours are not the nearest items by the vectors of {of} ({percent(alike)} agree)",
            "up if they were counted from held-out events, which the model then reads",
            "run the stage neighbors again",
        )


def _made(evidence: Evidence, settings: CoOccurrenceNeighbors | MemoryNeighbors, rows: Sequences) -> Neighbors:
    if isinstance(settings, CoOccurrenceNeighbors):
        return co_occurrence(rows, evidence.n_items, settings.k, window=settings.window)
    memory = Memory(settings.memory)
    match settings.evidence:
        case "text":
            memory.fit(rows, evidence.n_items, texts=evidence.catalog.texts())
        case "vectors":
            memory.fit(rows, evidence.n_items, vectors=concatenate(list(evidence.need("vectors").values())))
        case "none":
            memory.fit(rows, evidence.n_items)
    return memory.neighbors(settings.k)


def same_neighbors(one: Neighbors, other: Neighbors) -> float:
    """Share of the neighbours in common, in any order."""
    size = int(max(one.items.max(initial=0), other.items.max(initial=0))) + 1
    sets = [
        np.unique((np.arange(len(each))[:, None] * np.int64(size) + each.items)[each.items >= 0])
        for each in (one, other)
    ]
    return len(np.intersect1d(sets[0], sets[1])) / max(len(sets[0]), len(sets[1]), 1)


def vectors_know(evidence: Evidence) -> Iterator[Finding]:
    """Probe vectors that are not made from texts or pictures alone: those from files and from interactions."""
    for name in _foreign(evidence):
        vectors = evidence.need("vectors").get(name)
        if vectors is None:
            raise NotLookedError(evidence.missing.get(f"vectors.{name}", f"vectors.{name} are missing"))
        yield from _fitted_anew(evidence, name, vectors)
        lists = partial(nearest_of, vectors, k=_COMPANIONS)
        yield from probe(evidence, lists, _COMPANIONS, f"the vectors '{name}'", ours=_counted_here(evidence, name))


def _fitted_anew(evidence: Evidence, name: str, vectors: NDArray[np.float32]) -> Iterator[Finding]:
    """Fit collaborative vectors again on the training part, and compare."""
    settings = evidence.experiment.vectors[name]
    if not isinstance(settings, CollaborativeVectors):
        return
    again = normalized(settings.fit(evidence.split.train, evidence.n_items))
    alike = same_neighbors(nearest(vectors, _COMPANIONS), nearest(again, _COMPANIONS))
    if alike < 0.9:  # other machines give other signs and other last digits
        yield Finding(
            "leak",
            f"the vectors '{name}' are not those of the training part ({percent(alike)} of the nearest items agree)",
            "up if held-out events entered them: their readers see pairs of held-out events",
            f"run the stage vectors.{name} again",
        )


def _foreign(evidence: Evidence) -> list[str]:
    """Return the names of vectors that are not made from texts or pictures alone."""
    return [name for name, each in evidence.experiment.vectors.items() if each.kind not in _OF_CONTENT]


def _counted_here(evidence: Evidence, name: str) -> bool:
    return not isinstance(evidence.experiment.vectors[name], PrecomputedVectors)


def identifiers_know(evidence: Evidence) -> Iterator[Finding]:
    """Probe codes and identifiers that may depend on interactions, by items with long common prefixes."""
    codes, naming = evidence.experiment.codes, evidence.experiment.naming
    foreign = isinstance(codes, PublishedCodes) or (isinstance(codes, RqVae) and codes.letter.collaborative)
    foreign = foreign or bool(_foreign(evidence))
    if isinstance(naming, PublishedIdentifiers):
        tokens = evidence.need("identifiers").tokens
    elif codes is not None and foreign:
        tokens = evidence.semantic_ids if evidence.semantic_ids is not None else evidence.need("codes").values
    else:
        return

    def shared(rows: Sequences) -> NDArray[np.float32]:
        total = np.zeros((len(rows), len(tokens)), dtype=np.float32)
        alike = np.ones(total.shape, dtype=bool)
        for level in range(tokens.shape[1]):
            alike &= (tokens[rows.items, level, None] == tokens[None, :, level]) & (tokens[None, :, level] >= 0)
            total += alike
        return total

    yield from probe(
        evidence,
        lambda items: best_of(shared, items, _COMPANIONS, len(tokens)),
        _COMPANIONS,
        "shared codes" if isinstance(codes, PublishedCodes) else "shared identifiers",
    )


def texts_know(evidence: Evidence) -> Iterator[Finding]:
    """Look in the text fields for ids of other items ("also bought") and for sales figures."""
    yield from _named_items(evidence)
    yield from _figures_of_sales(evidence)


def _named_items(evidence: Evidence) -> Iterator[Finding]:
    ids = pa.array(evidence.catalog.item_ids, pa.string())
    if np.median(pc.utf8_length(ids).to_numpy()) < _ID_LENGTH:
        return  # too short to distinguish from numbers and words
    for name in evidence.catalog.text_fields:
        words = pc.split_pattern_regex(pa.array(evidence.catalog.field(name), pa.string()), r"[^\w.:-]+")
        owners = pc.list_parent_indices(words).to_numpy().astype(np.int64)
        named = pc.index_in(pc.list_flatten(words), value_set=ids).fill_null(-1).to_numpy().astype(np.int64)
        pairs = np.unique((owners * evidence.n_items + named)[(named >= 0) & (named != owners)])
        if not len(pairs):
            continue
        unseen = successions(evidence).unseen
        asked = unseen.earlier * evidence.n_items + unseen.later
        back = unseen.later * evidence.n_items + unseen.earlier
        hit = np.flatnonzero(np.isin(asked, pairs) | np.isin(back, pairs))
        share = len(hit) / max(len(asked), 1)
        touched = share * successions(evidence).cases
        items = len(np.unique(pairs // evidence.n_items)) / evidence.n_items
        yield Finding(
            "leak" if touched >= 0.005 else "note",
            f"the text field '{name}' contains ids of other items ({percent(items)} of the items do); it contains "
            f"{percent(share)} of the held-out successions absent from training",
            f"up: lists such as 'also bought' were counted from all events; about {touched:.3f} of recall is at stake",
            f"remove '{name}' from data.text",
            touched,
            evidence.pair_names(unseen.earlier[hit], unseen.later[hit]),
        )


def _figures_of_sales(evidence: Evidence) -> Iterator[Finding]:
    """Find numeric text fields that correlate with test popularity beyond training popularity."""
    cases = evidence.split.test
    later = np.bincount(cases.targets, minlength=evidence.n_items)
    before = evidence.split.train.counts(evidence.n_items)
    for name in evidence.catalog.text_fields:
        written = pc.replace_substring_regex(pa.array(evidence.catalog.field(name), pa.string()), r"[$,\s]", "")
        numeric = np.asarray(pc.match_substring_regex(written, r"^-?\d+(\.\d+)?$").to_numpy(zero_copy_only=False))
        if numeric.mean() < 0.5 or numeric.sum() < 100:
            continue
        values = written.filter(pa.array(numeric)).cast(pa.float64()).to_numpy()
        ranks = [
            rankdata(column[numeric] if len(column) > len(values) else column) for column in (values, later, before)
        ]
        beyond = float(np.asarray(spearmanr(_rest(ranks[0], ranks[2]), _rest(ranks[1], ranks[2])).statistic))
        if abs(beyond) >= 0.1:
            yield Finding(
                "distortion",
                f"the text field '{name}' holds numbers that correlate with the popularity of test targets, beyond "
                f"training popularity (partial rank correlation {beyond:+.2f})",
                "up: such figures (sales ranks, review counts) were recorded after the test events",
                f"remove '{name}' from data.text, or state it with the figures",
            )


def _rest(values: NDArray[Any], given: NDArray[Any]) -> NDArray[np.float64]:
    """Return the residual of a linear regression on `given`."""
    slope, height = np.polyfit(given, values, 1)
    return np.asarray(values - slope * given - height, dtype=np.float64)


def scorers_know(evidence: Evidence) -> Iterator[Finding]:
    """Compare the counts of fitted baselines with the training part, and probe their item scores."""
    scorers = {name: recommender.scorer for name, recommender in evidence.need("scorers").items()}
    wrong = {name: _counted_elsewhere(evidence, scorer) for name, scorer in scorers.items()}
    for name, counts in wrong.items():
        if counts:
            yield Finding(
                "leak",
                f"the baseline '{name}' was not fitted on this training part: its {' and '.join(counts)} differ"
                + _from_all(evidence, scorers[name]),
                "up if held-out events were counted: popular and co-occurring items of the test part score higher",
                f"run baselines.{name} again",
            )
    for name, scorer in scorers.items():
        if not wrong[name] and _kind(scorer) not in ("popularity", "recency"):  # these have no item pairs
            lists = partial(best_of, scorer.scores, k=_COMPANIONS, n_items=evidence.n_items)
            yield from probe(evidence, lists, _COMPANIONS, f"the highest scores of the baseline '{name}'", ours=True)


def _counted_elsewhere(evidence: Evidence, scorer: Any) -> list[str]:
    """Return the counts of a scorer that differ from those of the training part."""
    train, n_items, wrong = evidence.split.train, evidence.n_items, []
    shares = getattr(scorer, "shares", None) if _kind(scorer) != "recency" else None  # its shares decay with time
    if shares is not None and not np.allclose(shares, popularity(train, n_items), rtol=1e-4, atol=1e-9):
        wrong.append("shares of events")
    scorer = getattr(scorer, "counted", scorer)  # transitions wrap a memory
    if isinstance(scorer, Memory):
        how = scorer.settings
        counts = pair_counts(train, n_items, window=how.window, gap_decay=how.gap_decay, backward=how.backward)
        if abs(scorer.counts - counts).max() > 1e-3:
            wrong.append("pairs of items")
    return wrong


def _kind(scorer: Any) -> str:
    return str(scorer.settings.model_dump().get("kind"))


def _from_all(evidence: Evidence, scorer: Any) -> str:
    if evidence.interactions is None or not hasattr(scorer, "shares"):
        return ""
    everything = popularity(evidence.interactions.sequences, evidence.n_items)
    same = np.allclose(scorer.shares, everything, rtol=1e-4, atol=1e-9)
    return "; they are those of all events, held-out ones included" if same else ""
