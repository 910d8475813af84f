"""The stages up to identifiers and neighbours: each reads the folders of its inputs and writes one folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexirec.core.config import Settings
from lexirec.core.store import progress_folder
from lexirec.data import neighbors as neighbor_lists
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.loading import DataSettings, read_data, split_data
from lexirec.data.neighbors import Neighbors
from lexirec.data.readers.validation import Rejects
from lexirec.data.sequences import load_array
from lexirec.data.splits import Split
from lexirec.data.toy import toy_shop
from lexirec.data.user_texts import read_preferences
from lexirec.models.baselines.memory import Memory, MemorySettings
from lexirec.models.baselines.sasrec import Sasrec
from lexirec.pipeline.components import (
    CodesChoice,
    CoOccurrenceNeighbors,
    DataChoice,
    Evidence,
    IdentifierChoice,
    LexiconChoice,
    MemoryNeighbors,
    NeighborsChoice,
    PublishedCodes,
    PublishedIdentifiers,
    PublishedKeywords,
    PublishedNeighbors,
    SasrecNeighbors,
    ToyShop,
)
from lexirec.reporting.identifier_figures import draw_identifiers
from lexirec.reporting.quantizer_drawing import draw_quantizer
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.embeddings.item_embeddings import PrecomputedVectors, concatenate, embed, normalized
from lexirec.semantic_ids.embeddings.svd import CollaborativeVectors
from lexirec.semantic_ids.identifiers.published import read_published, read_published_codes
from lexirec.semantic_ids.identifiers.report import naming_report
from lexirec.semantic_ids.identifiers.schemes import CodeIdentifiers, PermutedIdentifiers, name_items
from lexirec.semantic_ids.lexicon.lexicon import Lexicon, TfIdfLexicon
from lexirec.semantic_ids.lexicon.llm_settings import TeacherLexicon
from lexirec.semantic_ids.lexicon.published_keywords import read_keywords
from lexirec.semantic_ids.quantizers.category_codes import CategoryCodes
from lexirec.semantic_ids.quantizers.codebook import Codebook
from lexirec.semantic_ids.quantizers.hierarchical_kmeans import HierarchicalKMeans
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.semantic_ids.quantizers.rqkmeans_plus import ResidualKMeansPlus
from lexirec.semantic_ids.quantizers.rqvae import RqVae

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Folders = Mapping[str, Path]
PREFERENCES = "preferences.json"
"""Of the data stage: a text per training row, empty where nothing was written about its user."""
SEMANTIC_IDS = "semantic_ids.npy"
"""Of residual codes: int32 (n_items, levels), items that share one have equal rows."""


def write_summary(
    out: Path, title: str, lines: Sequence[str], tables: Mapping[str, Sequence[Mapping[str, float]]] | None = None
) -> None:
    """Write `summary.md`, what `lexirec show` prints of a stage: lines, then tables of equal rows by their titles."""
    parts = [f"# {title}", "\n".join(f"- {line}" for line in lines)]
    for name, rows in (tables or {}).items():
        if rows:
            head = [[column.replace("_", " ") for column in rows[0]], ["---:"] * len(rows[0])]
            cells = [
                [f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" for value in row.values()]
                for row in rows
            ]
            parts += [f"## {name}", "\n".join(f"| {' | '.join(row)} |" for row in [*head, *cells])]
    (out / "summary.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------- data


def prepare_data(settings: DataChoice, inputs: Folders, out: Path) -> None:
    """Read the tables and split them: `catalog/`, `split/`, `user_ids.npy`, `rejects.parquet` if any are, and what was
    written about the users of the training rows, if anything was."""
    tables, catalog, interactions = read_tables(settings, rejects=out / "rejects.parquet")
    split = split_data(tables, interactions)
    catalog.save(out / "catalog")
    split.save(out / "split")
    np.save(out / "user_ids.npy", interactions.user_ids, allow_pickle=False)
    lines = _data_lines(split, catalog)
    if tables.users is not None:
        bad_rows = Rejects(tables.on_bad_row)
        told_of = interactions.user_ids[split.train_users]
        texts = read_preferences(tables.users, told_of, columns=tables.user_columns, rejects=bad_rows)
        if tables.on_bad_row == "reject":
            bad_rows.save(out / "rejected_users.parquet")
        (out / PREFERENCES).write_text(json.dumps(texts, ensure_ascii=False) + "\n", encoding="utf-8")
        lines.append(f"preferences: {sum(map(bool, texts)):,} of {len(texts):,} training users")
        lines += [f"users left out, {reason}: {count:,}" for reason, count in bad_rows.counts.items()]
    write_summary(out, "Data", lines)


def read_tables(settings: DataChoice, *, rejects: Path | None = None) -> tuple[DataSettings, Catalog, Interactions]:
    """Return how both tables are read, and what is in them; rejected rows are written where `rejects` says."""
    if not isinstance(settings, ToyShop):
        return settings, *read_data(settings, rejects=rejects)
    with tempfile.TemporaryDirectory() as folder:
        tables = _toy_tables(settings, Path(folder))
        return tables, *read_data(tables)


def _toy_tables(settings: ToyShop, folder: Path) -> DataSettings:
    """Write the toy shop's two tables and say how they are read."""
    toy_shop(seed=settings.shop_seed, items=settings.products, shoppers=settings.shoppers).write(folder)
    return DataSettings(
        items=folder / "items.parquet",
        interactions=folder / "interactions.parquet",
        text=settings.text,
        split=settings.split,
        max_history=settings.max_history,
    )


def load_preferences(folder: Path) -> list[str] | None:
    """Return what was written about each training row's user, from a data stage; None where there is no such table."""
    file = folder / PREFERENCES
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def load_catalog(folder: Path) -> Catalog:
    """Return the catalogue of a data stage."""
    return Catalog.load(folder / "catalog")


def load_split(folder: Path) -> Split:
    """Return the split of a data stage."""
    return Split.load(folder / "split")


def item_names(catalog: Catalog) -> list[str]:
    """Return what items are called in words: their titles, or their ids where there is none."""
    if "title" not in catalog.table.column_names:
        return catalog.item_ids
    return [title or item_id for title, item_id in zip(catalog.field("title"), catalog.item_ids, strict=True)]


def _data_lines(split: Split, catalog: Catalog) -> list[str]:
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in split.protocol.items()]
    return [*lines, f"text: {', '.join(catalog.text_fields)}"]


# ------------------------------------------------------------------------------------------- vectors and identifiers


def prepare_tokenizer(settings: Mapping[str, object], inputs: Folders, out: Path) -> None:
    """Save the backbone's tokenizer, trained on the catalogue's text for a backbone from scratch."""
    texts = load_catalog(inputs["data"]).texts()
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
    """Make one source of item vectors: `vectors.npy`, float32 (n_items, d), L2-normalised."""
    if isinstance(settings, PrecomputedVectors):
        settings = settings.model_copy(update={"path": inputs["file"]})
    if isinstance(settings, CollaborativeVectors):
        split = load_split(inputs["data"])
        vectors = normalized(settings.fit(split.train, split.n_items))
    else:
        vectors = embed(load_catalog(inputs["data"]), settings, folder=progress_folder(out) / "shards")
    np.save(out / "vectors.npy", vectors, allow_pickle=False)
    zeros = int((~vectors.any(axis=1)).sum())
    lines = [f"items: {len(vectors):,}, of which {zeros:,} have no vector", f"dimensions: {vectors.shape[1]}"]
    write_summary(out, "Vectors", lines)


def joined_vectors(inputs: Folders) -> NDArray[np.float32]:
    """Return all sources of vectors among the inputs (`vectors.NAME`) as one matrix: float32 (n_items, d)."""
    sources = [load_array(folder / "vectors.npy") for name, folder in inputs.items() if name.startswith("vectors.")]
    return concatenate(sources)


def prepare_codes(settings: CodesChoice, inputs: Folders, out: Path) -> None:
    """Give the items codes: `codes.parquet`, and of residual ones `semantic_ids.npy`.

    Semantic IDs are the codes without the level that only tells colliding items apart. A codebook that was fitted here
    is kept, for catalogues to come.
    """
    match settings:
        case HierarchicalKMeans():
            codes = settings.fit(joined_vectors(inputs)).codes
            lines = _tree_lines(codes)
        case CategoryCodes():
            codes = settings.fit(load_catalog(inputs["data"]))
            lines = _tree_lines(codes)
        case PublishedCodes():
            codes, lines = _published_codes(settings, inputs, out)
        case _:
            codebook = _fit_codebook(settings, inputs, out)
            codebook.save(out)
            draw_quantizer(codebook.report, out)
            codes = codebook.codes
            np.save(out / SEMANTIC_IDS, codes.values[:, : codebook.levels], allow_pickle=False)
            lines = [f"{name}: {value}" for name, value in codebook.report.summary().items()]
    codes.save(out)
    write_summary(out, "Codes", lines)


def _tree_lines(codes: Codes) -> list[str]:
    levels = [f"level {level + 1}: {len(codes.counts(level)):,} cells" for level in range(codes.levels)]
    return [f"items: {len(codes):,}", *levels]


def _fit_codebook(settings: ResidualKMeans | RqVae | ResidualKMeansPlus, inputs: Folders, out: Path) -> Codebook:
    vectors = joined_vectors(inputs)
    if isinstance(settings, ResidualKMeans):
        return settings.fit(vectors)
    if isinstance(settings, ResidualKMeansPlus):
        return settings.fit(vectors, folder=progress_folder(out))
    together = Sasrec.load(inputs["sasrec"] / "scorer").item_vectors() if "sasrec" in inputs else None
    return settings.fit(vectors, together, folder=progress_folder(out))


def _published_codes(settings: PublishedCodes, inputs: Folders, out: Path) -> tuple[Codes, list[str]]:
    given = any(name.startswith("vectors.") for name in inputs)
    settled = read_published_codes(
        inputs["published"],
        load_catalog(inputs["data"]),
        column=settings.column,
        collisions=settings.collisions,
        vectors=joined_vectors(inputs) if given else None,
    )
    codes = settled.codes
    levels = codes.levels - bool(settled.collisions.numbered)
    np.save(out / SEMANTIC_IDS, codes.values[:, :levels], allow_pickle=False)
    return codes, [f"{name}: {value}" for name, value in settled.collisions.summary().items()]


def prepare_lexicon(settings: LexiconChoice, inputs: Folders, out: Path) -> None:
    """Name the cells of the codes: with terms of the items' texts, by a teacher, or as somebody published."""
    catalog, codes = load_catalog(inputs["data"]), Codes.load(inputs["codes"])
    match settings:
        case TfIdfLexicon():
            tokenizer = load_saved_tokenizer(inputs.get("tokenizer"))
            lexicon = Lexicon.by_tfidf(catalog.texts(), codes, tokenizer, settings)
        case PublishedKeywords():
            lexicon = read_keywords(inputs["keywords"], codes)
        case TeacherLexicon():
            given = any(name.startswith("vectors.") for name in inputs)
            vectors = joined_vectors(inputs) if given else None
            lexicon = Lexicon.by_teacher(catalog, codes, settings, folder=progress_folder(out), vectors=vectors)
    lexicon.save(out)
    counts = np.argsort(-codes.counts(0), kind="stable")[:12]
    lines = [f"{codes.counts(0)[cell]:,} items: {lexicon.description(0, int(cell))}" for cell in counts]
    write_summary(out, "Lexicon: the largest cells of the first level", lines)


def prepare_identifiers(settings: IdentifierChoice, inputs: Folders, out: Path) -> None:
    """Name the items, and describe and draw the tree of the names."""
    catalog, tokenizer = load_catalog(inputs["data"]), load_saved_tokenizer(inputs.get("tokenizer"))
    codes = Codes.load(inputs["codes"]) if "codes" in inputs else None
    lexicon = Lexicon.load(inputs["lexicon"]) if "lexicon" in inputs else None
    if isinstance(settings, PublishedIdentifiers):
        identifiers = read_published(inputs["published"], catalog, tokenizer, column=settings.column)
    else:
        # Codes are tokens of their own, which a model adds to the backbone's vocabulary.
        spelled = settings.of if isinstance(settings, PermutedIdentifiers) else settings
        known = None if isinstance(spelled, CodeIdentifiers) else tokenizer
        identifiers = name_items(settings, catalog, codes, lexicon, known)
    identifiers.save(out)
    report = naming_report(identifiers, codes)
    draw_identifiers(report, out)
    names = item_names(catalog)
    lines = [f"{name}: {value}" for name, value in report.census.summary().items()]
    lines += [f"{names[item]}: {' | '.join(identifiers.spelled(item))}" for item in range(min(8, len(catalog)))]
    write_summary(
        out, "Identifiers", lines, {"Levels of the codes": report.level_rows(), "Depths": report.depth_rows()}
    )


# -------------------------------------------------------------------------------------------------------- neighbours


def prepare_neighbors(settings: NeighborsChoice, inputs: Folders, out: Path) -> None:
    """Find the neighbours of every item."""
    split, catalog = load_split(inputs["data"]), load_catalog(inputs["data"])
    match settings:
        case SasrecNeighbors():
            found = neighbor_lists.nearest(Sasrec.load(inputs["sasrec"] / "scorer").item_vectors(), settings.k)
        case CoOccurrenceNeighbors():
            found = neighbor_lists.co_occurrence(split.train, len(catalog), settings.k, window=settings.window)
        case MemoryNeighbors():
            found = fit_memory(settings.memory, settings.evidence, inputs).neighbors(settings.k)
        case PublishedNeighbors():
            found = neighbor_lists.read_published(inputs["published"], catalog).first(settings.k)
        case _:
            found = neighbor_lists.nearest(joined_vectors(inputs), settings.k)
    found.save(out)
    write_summary(out, "Neighbours", _neighbor_lines(found, catalog))


def fit_memory(settings: MemorySettings, evidence: Evidence, inputs: Folders) -> Memory:
    """Count the training part of a data stage, smoothed with what is named as evidence."""
    split, memory = load_split(inputs["data"]), Memory(settings)
    match evidence:
        case "text":
            return memory.fit(split.train, split.n_items, texts=load_catalog(inputs["data"]).texts())
        case "vectors":
            return memory.fit(split.train, split.n_items, vectors=joined_vectors(inputs))
        case "none":
            return memory.fit(split.train, split.n_items)


def _neighbor_lines(found: Neighbors, catalog: Catalog) -> list[str]:
    without = int((found.items < 0).all(axis=1).sum())
    name = item_names(catalog)
    lines = [f"items: {len(found):,}, of which {without:,} have no neighbour"]
    for item in range(min(5, len(found))):
        lines.append(f"{name[item]}: {'; '.join(name[other] for other in found.items[item, :3] if other >= 0)}")
    return lines
