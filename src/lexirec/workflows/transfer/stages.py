"""The stages of a transfer: the other catalogue's vectors and codes by the first one's means, and models carried to it.

Each reads the folders of its inputs and writes one folder. `data` is the other catalogue's everywhere, `first` the
first one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lexirec.core.config import Settings
from lexirec.core.store import progress_folder
from lexirec.models.tsrec.recommender import TSRecRecommender
from lexirec.models.tsrec.settings import SftSettings
from lexirec.models.tsrec.transfer import transfer_to, unseen_tokens
from lexirec.pipeline.stages.data import Folders, load_catalog, write_summary
from lexirec.pipeline.stages.identifiers import SEMANTIC_IDS, joined_vectors
from lexirec.pipeline.stages.models import (
    ModelStage,
    build_causal,
    fit_tsrec,
    save_trained,
    spelled_items,
)
from lexirec.pipeline.stages.report import evaluations_of, report_content, stored_reports
from lexirec.reporting.content import ReportContent
from lexirec.reporting.identifier_figures import draw_quantizer
from lexirec.reporting.run_report import write_report
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.embeddings.item_embeddings import LsaVectors, embed_items_like
from lexirec.semantic_ids.embeddings.sentence_encoder import SentenceVectors
from lexirec.semantic_ids.quantizers.codebook import Codebook
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings
from lexirec.workflows.transfer.settings import Saw


class Carried(Settings):
    """How a recommender is carried, and what it has seen afterwards."""

    saw: Saw
    category: str | None = None
    """What the other items are, where prompts say so."""
    training: SftSettings | None = None
    """How it goes on learning there; None where it does not."""


def embed_target(settings: LsaVectors | SentenceVectors, inputs: Folders, out: Path) -> None:
    """Make vectors of the other catalogue in the space of the first one's: `vectors.npy`, float32 (n_items, d)."""
    catalog, first = load_catalog(inputs["data"]), load_catalog(inputs["first"])
    vectors = embed_items_like(catalog, first, settings, folder=progress_folder(out) / "shards")
    np.save(out / "vectors.npy", vectors, allow_pickle=False)
    zeros = int((~vectors.any(axis=1)).sum())
    lines = [f"items: {len(vectors):,}, of which {zeros:,} have no vector"]
    write_summary(out, "Vectors", [*lines, f"dimensions: {vectors.shape[1]}"])


def apply_codebook(settings: CollisionSettings, inputs: Folders, out: Path) -> None:
    """Give the other catalogue's items codes by the first one's quantiser; the files are those of the stage `codes`.

    A further level that would tell some items apart is left out where the first catalogue has none: spelling then adds
    a token to those items alone, and all others are spelled as the model knows it.
    """
    book = Codebook.load(inputs["codebook"])
    found = book.apply(joined_vectors(inputs), settings)
    codes, levels = found.codes, book.levels
    lines = [f"{name}: {value}" for name, value in found.report.summary().items()]
    if Codes.load(inputs["codebook"]).levels == levels < codes.levels:
        codes = Codes(codes.values[:, :levels], codes.kind)
        lines.append("the further level: left out, as the first catalog has none; those items alone are counted")
    codes.save(out)
    found.save(out)
    draw_quantizer(found.report, out)
    np.save(out / SEMANTIC_IDS, codes.values[:, :levels], allow_pickle=False)
    write_summary(out, "Codes", lines)


def build_untrained(settings: ModelStage, inputs: Folders, out: Path) -> None:
    """Save the first catalogue's model as training finds it."""
    build_causal(settings.backbone, settings.model, inputs).save(out)  # type: ignore[arg-type]
    write_summary(out, "Model", ["as training finds it"])


def carry_model(settings: Carried, inputs: Folders, out: Path) -> None:
    """Carry a model to the other catalogue, let it go on learning there if asked, and save it as a whole recommender.

    Where there is a `lexicon`, its words about tokens take the place of those that the model learned from.
    """
    trained = TSRecRecommender.load(inputs["model"])
    known = spelled_items(inputs, grounded=trained.settings.network.grounded)
    fresh = unseen_tokens(trained, known.identifiers)
    made = transfer_to(trained, load_catalog(inputs["data"]), known, category=settings.category)
    tokens = made.identifiers.tokens
    with_fresh = np.isin(tokens, made.backbone.tokenizer.convert_tokens_to_ids(fresh)).any(axis=1)
    made.origin = {
        "saw": settings.saw.model_dump(),
        "tokens_used": len(np.unique(tokens[tokens >= 0])),
        "tokens_new_to_the_source": len(fresh),
        "items_with_new_tokens": int(with_fresh.sum()),
    }
    if settings.training is None:
        made.save(out)
        write_summary(out, "Carried model", [f"{name.replace('_', ' ')}: {value}" for name, value in _told(made)])
        return
    fit_tsrec(made, inputs, out, settings.training)
    save_trained(made, out)


def _told(made: TSRecRecommender) -> list[tuple[str, Any]]:
    """Return what is known of a carried recommender, what it saw catalogue by catalogue."""
    facts = dict(made.origin)
    return [(f"saw of the {name}", value) for name, value in facts.pop("saw").items()] + list(facts.items())


def make_transfer_report(settings: Mapping[str, Any], inputs: Folders, out: Path) -> None:
    """Write `report.md` with its figures; the arguments are those of `transfer_content`."""
    path = write_report(out, transfer_content(settings, inputs))
    path.with_name("summary.md").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")


def transfer_content(settings: Mapping[str, Any], inputs: Folders) -> ReportContent:
    """Put together what a transfer's report shows: that of an experiment, and what each recommender saw of what.

    Args:
        settings: as for `report_content`, and `saw`: name of a recommender -> `Saw` as plain values.
        inputs: as for `report_content`.
    """
    content = report_content(settings, inputs)
    return replace(content, protocol={**content.protocol, **saw_card(settings["saw"], evaluations_of(inputs))})


def saw_card(saw: Mapping[str, Mapping[str, str]], evaluations: Mapping[str, Path]) -> dict[str, Any]:
    """Return the lines of a protocol card that say what was carried and what each recommender had seen."""
    card = next(iter(stored_reports(evaluations["zero-shot"]).values())).protocol
    facts = {name: card[name] for name in ("tokens_used", "tokens_new_to_the_source", "items_with_new_tokens")}
    lines = {f"{name}_saw": f"source: {what['source']}; target: {what['target']}" for name, what in saw.items()}
    return {**facts, **lines, "all_read": "the histories of the measured cases"}
