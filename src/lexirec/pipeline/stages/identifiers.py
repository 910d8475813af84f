"""Stages from item vectors to identifiers: vectors, codes, tokenizer, lexicon, identifiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.core.config import Settings
from lexirec.core.store import progress_folder
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import load_array
from lexirec.models.baselines.sasrec import Sasrec
from lexirec.pipeline.components import (
    CodesChoice,
    IdentifierChoice,
    LexiconChoice,
    PublishedKeywords,
)
from lexirec.pipeline.picture_inputs import check_unchanged
from lexirec.pipeline.stages.data import Folders, item_names, load_train, write_summary
from lexirec.reporting.identifier_figures import draw_identifiers, draw_quantizer
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.embeddings.item_embeddings import LsaVectors, PrecomputedVectors, embed_items
from lexirec.semantic_ids.embeddings.picture_files import picture_names
from lexirec.semantic_ids.embeddings.picture_vectors import PictureVectors, encode_pictures
from lexirec.semantic_ids.embeddings.svd import CollaborativeVectors, LsaSpace
from lexirec.semantic_ids.embeddings.vector_files import concatenate, normalized
from lexirec.semantic_ids.identifiers.base import NamingInputs, identify_items
from lexirec.semantic_ids.identifiers.report import naming_report
from lexirec.semantic_ids.lexicon.lexicon import Lexicon, TfIdfLexicon, tfidf_lexicon
from lexirec.semantic_ids.lexicon.llm_labels import llm_lexicon
from lexirec.semantic_ids.lexicon.llm_settings import ContrastiveLexicon, LLMLexicon
from lexirec.semantic_ids.lexicon.published_keywords import read_keywords
from lexirec.semantic_ids.quantizers.base import QuantizerInputs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEMANTIC_IDS = "semantic_ids.npy"
"""File of residual codes without the collision level: int32 (n_items, levels); items that share one have equal rows."""


def prepare_tokenizer(settings: Mapping[str, object], inputs: Folders, out: Path) -> None:
    """Save the backbone's tokenizer, trained on the catalogue's text for a backbone from scratch."""
    texts = Catalog.load(inputs["catalog"]).texts()
    if settings.get("kind") == "causal":
        from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal_tokenizer

        load_causal_tokenizer(CausalBackboneSettings.model_validate(settings), texts=texts).save_pretrained(out)
        return
    from lexirec.nn.t5 import BackboneSettings, load_tokenizer

    load_tokenizer(BackboneSettings.model_validate(settings), texts=texts).save_pretrained(out)


def load_saved_tokenizer(folder: Path | None) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer of a tokenizer stage; None for None."""
    if folder is None:
        return None
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return tokenizer


def prepare_vectors(settings: Settings, inputs: Folders, out: Path) -> None:
    """Compute one source of item vectors: `vectors.npy`, float32 (n_items, d), L2-normalised; of LSA also its space."""
    if isinstance(settings, PrecomputedVectors):
        settings = settings.model_copy(update={"path": inputs["file"]})
    if isinstance(settings, CollaborativeVectors):
        part = load_train(inputs, len(Catalog.load(inputs["catalog"])))
        vectors = normalized(settings.fit(part.train, part.n_items))
    elif isinstance(settings, LsaVectors):  # words and axes are kept: items that are added later get vectors from them
        texts = Catalog.load(inputs["catalog"]).texts(settings.fields)
        space = LsaSpace.fit(texts, settings.dimensions, settings.seed)
        vectors = normalized(space.embed(texts))
        space.stored().save(out)
    elif isinstance(settings, PictureVectors):
        vectors = _picture_vectors(settings, inputs, out)
    else:
        vectors = embed_items(Catalog.load(inputs["catalog"]), settings, folder=progress_folder(out) / "shards")
    np.save(out / "vectors.npy", vectors, allow_pickle=False)
    zeros = int((~vectors.any(axis=1)).sum())
    lines = [f"items: {len(vectors):,}, of which {zeros:,} have no vector", f"dimensions: {vectors.shape[1]}"]
    write_summary(out, "Vectors", lines)


def _picture_vectors(settings: PictureVectors, inputs: Folders, out: Path) -> NDArray[np.float32]:
    """Encode the items' pictures; those that give no vector are listed in `missing_pictures.parquet`."""
    catalog = Catalog.load(inputs["catalog"])
    names = picture_names(catalog, settings.column)
    shards, drawn = progress_folder(out) / "shards", inputs["pictures"]  # by the data stage of the toy shop
    made = encode_pictures(names, settings, base=drawn, folder=shards, ids=catalog.item_ids)
    check_unchanged(settings, made.content)
    if made.reasons:
        rows = [(catalog.item_ids[row], names[row], reason) for row, reason in made.reasons.items()]
        columns = dict(zip(("item_id", "picture", "reason"), map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(columns), out / "missing_pictures.parquet")
    return made.vectors


def joined_vectors(inputs: Folders) -> NDArray[np.float32]:
    """Concatenate all sources of vectors among the inputs (`vectors.NAME`): float32 (n_items, d)."""
    sources = [load_array(folder / "vectors.npy") for name, folder in inputs.items() if name.startswith("vectors.")]
    return concatenate(sources)


def prepare_codes(settings: CodesChoice, inputs: Folders, out: Path) -> None:
    """Fit or read the items' codes: `codes.parquet`, and for residual codes `semantic_ids.npy`.

    Semantic IDs are the codes without the level that only separates colliding items. A codebook fitted here is saved,
    so that later catalogues can be encoded with it.
    """
    readers: dict[str, Callable[[], Any]] = {
        "catalog": lambda: Catalog.load(inputs["catalog"]),
        "vectors": lambda: joined_vectors(inputs),
        "collaborative": lambda: Sasrec.load(inputs["sasrec"] / "scorer").item_vectors(),
    }
    made = settings.quantize(QuantizerInputs(readers, inputs, progress_folder(out)))
    if made.codebook is not None:
        made.codebook.save(out)
        draw_quantizer(made.codebook.report, out)
    if made.semantic_levels is not None:
        np.save(out / SEMANTIC_IDS, made.codes.values[:, : made.semantic_levels], allow_pickle=False)
    made.codes.save(out)
    write_summary(out, "Codes", made.summary or _tree_lines(made.codes))


def _tree_lines(codes: Codes) -> list[str]:
    levels = [f"level {level + 1}: {len(codes.counts(level)):,} cells" for level in range(codes.levels)]
    return [f"items: {len(codes):,}", *levels]


def prepare_lexicon(settings: LexiconChoice, inputs: Folders, out: Path) -> None:
    """Label the cells of the codes: with terms of the items' texts, by an LLM, or from a published file."""
    catalog, codes = Catalog.load(inputs["catalog"]), Codes.load(inputs["codes"])
    match settings:
        case TfIdfLexicon():
            tokenizer = load_saved_tokenizer(inputs.get("tokenizer"))
            lexicon = tfidf_lexicon(catalog.texts(), codes, tokenizer, settings)
        case PublishedKeywords():
            lexicon = read_keywords(inputs["keywords"], codes)
        case ContrastiveLexicon() | LLMLexicon():
            given = any(name.startswith("vectors.") for name in inputs)
            vectors = joined_vectors(inputs) if given else None
            lexicon = llm_lexicon(catalog, codes, settings, folder=progress_folder(out), vectors=vectors)
    lexicon.save(out)
    counts = np.argsort(-codes.counts(0), kind="stable")[:12]
    lines = [f"{codes.counts(0)[cell]:,} items: {lexicon.description(0, int(cell))}" for cell in counts]
    write_summary(out, "Lexicon: the largest cells of the first level", lines)


def prepare_identifiers(settings: IdentifierChoice, inputs: Folders, out: Path) -> None:
    """Build the identifiers; describe and draw their tree."""
    catalog, tokenizer = Catalog.load(inputs["catalog"]), load_saved_tokenizer(inputs.get("tokenizer"))
    codes = Codes.load(inputs["codes"]) if "codes" in inputs else None
    readers: dict[str, Callable[[], Any]] = {"codes": lambda: codes} if codes is not None else {}
    readers |= {"lexicon": lambda: Lexicon.load(inputs["lexicon"])} if "lexicon" in inputs else {}
    identifiers = identify_items(settings, NamingInputs(catalog, tokenizer, readers, inputs))
    identifiers.save(out)
    report = naming_report(identifiers, codes)
    draw_identifiers(report, out)
    names = item_names(catalog)
    lines = [f"{name}: {value}" for name, value in report.census.summary().items()]
    lines += [f"{names[item]}: {' | '.join(identifiers.spelled(item))}" for item in range(min(8, len(catalog)))]
    write_summary(
        out, "Identifiers", lines, {"Levels of the codes": report.level_rows(), "Depths": report.depth_rows()}
    )
