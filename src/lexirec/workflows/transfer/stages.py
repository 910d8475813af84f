"""Stages of a transfer: the target's vectors and codes in the source's spaces, and models transferred to it.

Each reads the folders of its inputs and writes one folder. `catalog` and `train` are the target's, `first.catalog`
is the source's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lexirec.core.config import Settings
from lexirec.core.store import progress_folder
from lexirec.data.catalog import Catalog
from lexirec.models.tsrec.recommender import TSRecRecommender
from lexirec.models.tsrec.settings import SftSettings
from lexirec.models.tsrec.transfer import transfer_to, unseen_tokens
from lexirec.pipeline.stages.data import Folders, write_summary
from lexirec.pipeline.stages.identifiers import SEMANTIC_IDS, joined_vectors
from lexirec.pipeline.stages.models import (
    ModelStage,
    build_tsrec,
    fit_tsrec,
    save_trained,
    tsrec_inputs,
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
    """Settings of a transferred recommender, and what it has seen afterwards."""

    saw: Saw
    category: str | None = None
    """Category of the target's items in prompts."""
    training: SftSettings | None = None
    """Fine-tuning on the target; None for none."""


def embed_target(settings: LsaVectors | SentenceVectors, inputs: Folders, out: Path) -> None:
    """Embed the target's items in the source's vector space: `vectors.npy`, float32 (n_items, d)."""
    catalog, first = Catalog.load(inputs["catalog"]), Catalog.load(inputs["first.catalog"])
    vectors = embed_items_like(catalog, first, settings, folder=progress_folder(out) / "shards")
    np.save(out / "vectors.npy", vectors, allow_pickle=False)
    zeros = int((~vectors.any(axis=1)).sum())
    lines = [f"items: {len(vectors):,}, of which {zeros:,} have no vector"]
    write_summary(out, "Vectors", [*lines, f"dimensions: {vectors.shape[1]}"])


def apply_codebook(settings: CollisionSettings, inputs: Folders, out: Path) -> None:
    """Encode the target's items with the source's quantiser; the files are those of the stage `codes`.

    A further level for collisions is left out where the source has none: the identifiers then add a token to colliding
    items alone, and all others keep the length that the model was trained on.
    """
    book = Codebook.load(inputs["codebook"])
    encoded = book.apply(joined_vectors(inputs), settings)
    codes, levels = encoded.codes, book.levels
    lines = [f"{name}: {value}" for name, value in encoded.report.summary().items()]
    if Codes.load(inputs["codebook"]).levels == levels < codes.levels:
        codes = Codes(codes.values[:, :levels], codes.kind)
        lines.append("collision level: left out, as the source has none; colliding items get a counter token")
    codes.save(out)
    encoded.save(out)
    draw_quantizer(encoded.report, out)
    np.save(out / SEMANTIC_IDS, codes.values[:, :levels], allow_pickle=False)
    write_summary(out, "Codes", lines)


def build_untrained(settings: ModelStage, inputs: Folders, out: Path) -> None:
    """Save the source's model before training."""
    build_tsrec(settings.backbone, settings.model, inputs).save(out)  # type: ignore[arg-type]
    write_summary(out, "Model", ["untrained"])


def carry_model(settings: Carried, inputs: Folders, out: Path) -> None:
    """Transfer a model to the target, fine-tune it there if set, and save it as a recommender.

    A `lexicon` among the inputs replaces the token descriptions that the model was trained on.
    """
    trained = TSRecRecommender.load(inputs["model"])
    item_inputs = tsrec_inputs(inputs, grounded=trained.settings.network.grounded)
    fresh = unseen_tokens(trained, item_inputs.identifiers)
    recommender = transfer_to(trained, Catalog.load(inputs["catalog"]), item_inputs, category=settings.category)
    tokens = recommender.identifiers.tokens
    with_fresh = np.isin(tokens, recommender.backbone.tokenizer.convert_tokens_to_ids(fresh)).any(axis=1)
    recommender.origin = {
        "saw": settings.saw.model_dump(),
        "tokens_used": len(np.unique(tokens[tokens >= 0])),
        "tokens_new_to_the_source": len(fresh),
        "items_with_new_tokens": int(with_fresh.sum()),
    }
    if settings.training is None:
        recommender.save(out)
        write_summary(
            out, "Transferred model", [f"{name.replace('_', ' ')}: {value}" for name, value in _facts(recommender)]
        )
        return
    fit_tsrec(recommender, inputs, out, settings.training)
    save_trained(recommender, out)


def _facts(recommender: TSRecRecommender) -> list[tuple[str, Any]]:
    """Return the origin of a transferred recommender, with what it saw of each catalogue."""
    facts = dict(recommender.origin)
    return [(f"saw of the {name}", value) for name, value in facts.pop("saw").items()] + list(facts.items())


def make_transfer_report(settings: Mapping[str, Any], inputs: Folders, out: Path) -> None:
    """Write `report.md` with its figures; the arguments are those of `transfer_content`."""
    path = write_report(out, transfer_content(settings, inputs))
    path.with_name("summary.md").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")


def transfer_content(settings: Mapping[str, Any], inputs: Folders) -> ReportContent:
    """Collect the content of a transfer's report: that of an experiment, and what each recommender has seen.

    Args:
        settings: as for `report_content`, and `saw`: name of a recommender -> `Saw` as plain values.
        inputs: as for `report_content`.
    """
    content = report_content(settings, inputs)
    return replace(content, protocol={**content.protocol, **saw_card(settings["saw"], evaluations_of(inputs))})


def saw_card(saw: Mapping[str, Mapping[str, str]], evaluations: Mapping[str, Path]) -> dict[str, Any]:
    """Return the entries of the protocol card on new tokens and on what each recommender has seen."""
    card = next(iter(stored_reports(evaluations["zero-shot"]).values())).protocol
    facts = {name: card[name] for name in ("tokens_used", "tokens_new_to_the_source", "items_with_new_tokens")}
    lines = {f"{name}_saw": f"source: {what['source']}; target: {what['target']}" for name, what in saw.items()}
    return {**facts, **lines, "all_read": "the histories of the measured cases"}
