"""Model cards of exported folders: a YAML head for the hub, figures with their protocol, licences, how to load."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexirec.core.environment import versions
from lexirec.evaluation.verdicts import card_seeds
from lexirec.nn.pretrained import SCRATCH
from lexirec.pipeline.remeasure import FIGURES, Evaluated

UNKNOWN = "unknown: ask before you publish"
LOCAL = "local"
"""What a card says of a backbone that is a folder, whose path is nobody's business."""
NAMES = {"late-fusion": "GRAM", "causal": "TS-Rec", "fused": "ensemble"}
"""What people call the kinds of recommenders."""
_TAGS = ["recommender-system", "sequential-recommendation"]
_METRICS = ("recall", "ndcg", "mrr")


@dataclass(frozen=True)
class Part:
    """The recommender of an exported folder, or a part of an ensemble.

    Attributes:
        name: of the part; empty for the recommender itself.
        kind: as in an experiment file.
        folder: its path in the export, with a slash behind it; empty for the recommender itself.
        backbone: whether it has a language model.
        counts: whether it keeps counts of items that users took.
        added: items that were added after training; None for none.
    """

    name: str
    kind: str
    folder: str
    backbone: bool
    counts: bool
    added: int | None


@dataclass(frozen=True)
class CardFacts:
    """What the card of an export says.

    Attributes:
        known: the recommender and its evaluation.
        parts: the recommender and its parts.
        backbone: `scratch:…`, a hub name, or `local`; None where it is unknown.
        license: of the weights, as the hub names it; None where it is unknown.
        dropped: columns of the catalogue that are left out.
        seeds: seeds with which the experiment has finished.
    """

    known: Evaluated
    parts: Sequence[Part]
    backbone: str | None
    license: str | None
    dropped: Sequence[str]
    seeds: Sequence[int]


def hub_card(facts: CardFacts, folder: Path) -> str:
    """Return the card of a hub folder as Markdown behind a YAML head.

    Args:
        facts: what it says.
        folder: the exported folder, for the names of its files.
    """
    kind = facts.parts[0].kind
    title = f"{facts.known.name}: {NAMES.get(kind, kind)}"
    parts = [
        f"# {title}",
        _lead(facts, kind),
        "## How to load it\n\n" + _loading(facts),
        "## Figures\n\n" + _figures(facts.known),
        "## What is not equal\n\n" + _lines(_not_equal(facts)),
        "## Data about people\n\n" + _people(facts),
        "## Licences\n\n" + _lines(_licences(facts)),
        "## Intended use\n\n" + _use(),
        "## Files\n\n" + _lines(_files(facts, folder)),
    ]
    return f"---\n{head(facts)}---\n\n" + "\n\n".join(parts) + "\n"


def engine_card(facts: CardFacts, sizes: Mapping[str, Any]) -> str:
    """Return the card of a folder for inference engines.

    Args:
        facts: what it says.
        sizes: content of `engine.json`.
    """
    parts = [
        f"# {facts.known.name}: TS-Rec for inference engines",
        f"A causal language model that writes the identifiers (SIDs) of {sizes['items']:,} items, exported by lexirec "
        f"{versions().get('lexirec', '')} from the experiment `{facts.known.name}`. Its answers are items only where "
        "decoding is constrained to the SIDs: `trie.safetensors` says which tokens may follow which.",
        "## How to ask it\n\n" + _lines(_engine_use(sizes)),
        "## Figures\n\nOf the recommender in lexirec, with its own beam search:\n\n"
        + _figures(facts.known, again=False),
        "## Data about people\n\n" + _people(facts),
        "## Licences\n\n" + _lines(_licences(facts)),
    ]
    return f"---\n{head(facts, library='transformers', tags=['text-generation'])}---\n\n" + "\n\n".join(parts) + "\n"


def _engine_use(sizes: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "`prompt.json`: a prompt is `before`, the SIDs of the newest `max_history` items from the oldest to the newest "
        "with `separator` between them, and `after`, all as token ids; nothing is tokenised"
    )
    shortest, longest = sizes["sid_lengths"]
    length = (
        f"{shortest} tokens each"
        if shortest == longest
        else f"{shortest} to {longest} tokens, so **not of one length**"
    )
    yield f"`sid_table.safetensors`: the SIDs, {length}; `item_ids.json`: the item of each row"
    yield (
        f"the table has {sizes['rows']:,} rows for {sizes['pieces']:,} pieces and {sizes['fillers']} fillers "
        f"(`<|filler_0|>` …), which must never be sampled; {sizes['padded_rows']} of the rows are zero. A softmax over "
        "the whole vocabulary gives them some mass; one over the legal tokens does not see them"
    )
    if sizes["likelihood"] == "catalog":
        yield "it was trained with a softmax over the legal tokens: renormalise over them at every step, too"
    yield "`lexirec parity NAME FOLDER --backend vllm` compares an engine's log-probabilities with lexirec's"


def head(facts: CardFacts, *, library: str = "lexirec", tags: Sequence[str] = ()) -> str:
    """Return the YAML head of a card; the figures stand in it as the hub's `model-index`."""
    from huggingface_hub import EvalResult, ModelCardData

    kinds = sorted({NAMES.get(part.kind, part.kind).lower() for part in facts.parts})
    known = facts.backbone is not None and facts.backbone != LOCAL and not facts.backbone.startswith(SCRATCH)
    results = [EvalResult(**values) for values in _results(facts.known)]
    data = ModelCardData(
        license=facts.license or "unknown",
        library_name=library,
        tags=["lexirec", *_TAGS, *kinds, *tags],
        base_model=facts.backbone if known else None,
        metrics=[name for name in _METRICS if any(each.metric_type == name for each in results)] or None,
        model_name=facts.known.name,
        eval_results=results or None,
    )
    return str(data.to_yaml()) + "\n"


def _results(known: Evaluated) -> Iterator[dict[str, Any]]:
    for seen, report in known.reports.items():
        for name, value in report.metrics.items():
            yield {
                "task_type": "recommendation",
                "task_name": "Next-item recommendation",
                "dataset_type": re.sub(r"[^a-z0-9]+", "-", known.name.lower()).strip("-") or "data",
                "dataset_name": known.name,
                "dataset_split": str(report.protocol.get("fold", "test")),
                "metric_type": name.partition("@")[0],
                "metric_name": f"{name}, seen items {seen}",
                "metric_value": round(value, 6),
            }


def _lead(facts: CardFacts, kind: str) -> str:
    names = [f"`{part.name}` ({NAMES.get(part.kind, part.kind)})" for part in facts.parts if part.name]
    made_of = f" Its parts: {', '.join(names)}." if names else ""
    added = next((part.added for part in facts.parts if part.added), None)
    later = f" {added:,} of its items were added after training; the figures are from before." if added else ""
    return (
        f"A recommender of the kind {NAMES.get(kind, kind)}, exported by lexirec {versions().get('lexirec', '')} from "
        f"the experiment `{facts.known.name}`.{made_of}{later} It ranks the items of its own catalogue for a history "
        "of them; it knows no others."
    )


def _loading(facts: CardFacts) -> str:
    text = (
        "```python\nfrom lexirec import load_recommender\n\n"
        'recommender = load_recommender("ORGANISATION/NAME")  # or this folder\n'
        'recommender.recommend(["an item id", "a later one"], k=10)\n```\n\n'
        "Every file is compared with its digest in `lexirec.json` first."
    )
    for part in facts.parts:
        if part.backbone:
            options = f', subfolder="{part.folder[:-1]}"' if part.folder else ""
            loader = "AutoModelForSeq2SeqLM" if part.kind == "late-fusion" else "AutoModelForCausalLM"
            text += (
                f"\n\nThe language model alone is `transformers.{loader}.from_pretrained(FOLDER{options})`. "
                "It does not recommend by itself: heads, item rows and the prefix trie are lexirec's."
            )
    return text


def _figures(known: Evaluated, *, again: bool = True) -> str:
    if not known.reports:
        return "None: it was not evaluated by the experiment that it comes from."
    seen = list(known.reports)
    rows = [["metric", *(f"seen items {each}" for each in seen)], ["---", *("---:" for _ in seen)]]
    for name in known.reports[seen[0]].metrics:
        rows.append([name, *(f"{known.reports[each].metrics[name]:.4f}" for each in seen)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    protocol = known.reports[seen[0]].protocol
    if not again:
        return f"{table}\n\n{_lines(_protocol(protocol))}"
    return (
        f"{table}\n\n{_lines(_protocol(protocol))}\n\nThe whole protocol card is in `{FIGURES}`; `lexirec verify "
        f"FOLDER --against FOLDER/{FIGURES}` measures again on the same data."
    )


def _protocol(protocol: Mapping[str, Any]) -> Iterator[str]:
    yield f"cases: {protocol.get('cases', 0):,} of the fold `{protocol.get('fold', 'test')}`, one target each"
    yield (
        f"split: `{protocol.get('split', 'unknown')}`, at most {protocol.get('max_history')} events of a history, "
        f"k-core {protocol.get('k_core') or 'none'}"
    )
    yield f"candidates: all {protocol.get('candidates', 0):,} items; metrics per {protocol.get('level', 'item')}"
    yield f"lists: {protocol.get('search', 'unknown')}; {protocol.get('ties', '')}"
    if sampled := protocol.get("sample_users"):
        yield f"a random sample of {sampled:,} cases"


def _not_equal(facts: CardFacts) -> Iterator[str]:
    yield "To figures of papers: their split, candidates, treatment of seen items and preparation may be others."
    seeds = next((card_seeds(report.protocol) for report in facts.known.reports.values()), None)
    if seeds:
        yield f"Seeds: these weights are of {', '.join(f'{name} {seed}' for name, seed in sorted(seeds.items()))}."
    if len(facts.seeds) > 1:
        yield (
            f"The experiment has finished with the seeds {', '.join(map(str, facts.seeds))}; the figures are of this "
            "one alone, and differ between seeds."
        )
    elif facts.known.reports:
        yield "One seed: how much the figures vary between seeds is unknown."
    if len(facts.known.reports) == 2:
        yield "The two columns: lists without and with the items of the history; never compare one with the other."
    if facts.dropped:
        yield f"Columns of the catalogue that are left out, so no filter knows them: {', '.join(facts.dropped)}."


def _people(facts: CardFacts) -> str:
    text = "No events, no histories and no user ids are in this folder."
    counting = [f"`{part.name or part.kind}`" for part in facts.parts if part.counts]
    if counting:
        text += (
            f" **But {', '.join(counting)} is memory-based**: its tables hold which items were taken together or one "
            "after another, and how often, counted from users' histories. A pair that only one user took is in them as "
            "such; whether that may be published is for you to decide."
        )
    if any(part.backbone for part in facts.parts):
        text += (
            " Weights, item rows and lists of similar items were learned from histories; language models can memorise "
            "rare sequences."
        )
    return text


def _licences(facts: CardFacts) -> Iterator[str]:
    yield f"this folder: {facts.license or UNKNOWN}"
    if facts.backbone is not None and facts.backbone.startswith(SCRATCH):
        yield f"backbone: `{facts.backbone}`, random weights trained on these data alone, so no licence but the data's"
    elif any(part.backbone for part in facts.parts):
        where = "a model of unknown name" if facts.backbone is None else f"`{facts.backbone}`"
        where = "a model from a local folder" if facts.backbone == LOCAL else where
        yield f"backbone: {where}; its licence is {UNKNOWN}"
    yield f"data (item texts in `catalog/`, histories that it learned from): {UNKNOWN}"
    yield "lexirec itself: Apache-2.0"


def _use() -> str:
    return (
        "Recommending items of this catalogue to people whose histories resemble those it was trained on, and "
        "repeating or comparing its figures. It reflects who bought what when the data were collected: popular items "
        "and frequent users weigh more. Not for decisions about people, nor for other catalogues."
    )


def _files(facts: CardFacts, folder: Path) -> Iterator[str]:
    yield "`lexirec.json`: every file with its SHA-256"
    if (folder / FIGURES).is_file():
        yield f"`{FIGURES}`: the protocol card and all figures"
    for part in facts.parts:
        yield f"`{part.folder}recommender.json`, `{part.folder}catalog/`: kind, and items with their texts"
        if part.backbone:
            yield (
                f"`{part.folder}config.json`, `{part.folder}model.safetensors`, `{part.folder}tokenizer.json`: the "
                f"language model; `{part.folder}network.safetensors`: the weights around it; "
                f"`{part.folder}settings.json`: all settings"
            )
            yield f"`{part.folder}identifiers/`, `{part.folder}trie.safetensors`: the items' tokens, and their trie"


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
