"""The causal recommender: a language model that spells semantic IDs, trained in words and reinforced by its beams."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from lexirec.core.errors import SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.ranking import check_sizes
from lexirec.data.sequences import Sequences, load_array
from lexirec.data.splits import Cases
from lexirec.decoding.trie import Trie
from lexirec.models.base import GenerativeRecommender
from lexirec.models.saving import put_weights, read_parts, undamaged, write_manifest, write_parts
from lexirec.models.tsrec.decoder import TSRecSearcher
from lexirec.models.tsrec.keywords import TokenWords, token_words
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.prompts import HistoryCensus, PromptBuilder
from lexirec.models.tsrec.settings import ReinforcementSettings, SftSettings, TSRecSettings
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal, restore_causal, save_causal
from lexirec.nn.embedding_table import ItemRows, MixedRows, given_rows, item_features
from lexirec.nn.t5 import Backbone, add_tokens
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens
from lexirec.semantic_ids.lexicon.lexicon import Lexicon

_BACKBONE = "backbone"
_WORDS = "words.json"
_GROUPS = "semantic_ids.npy"


@dataclass(frozen=True, eq=False)
class TSRecInputs:
    """What a causal recommender knows about the items besides the catalogue's text.

    Attributes:
        identifiers: how items are spelled; in the backbone's vocabulary or able to be added to it.
        words: what a lexicon says about the tokens, for SA-Init and TS-Align; empty for nothing.
        semantic_ids: int32 (I, levels), the codes without the level that tells colliding items apart, by which
            figures per semantic ID are made; None where they are the identifiers.
        neighbors: similar items, for grounded heads; None for none.
        vectors: float32 (I, F), for grounded heads; None for none.
    """

    identifiers: Identifiers
    words: Sequence[TokenWords] = field(default=())
    semantic_ids: NDArray[np.int32] | None = None
    neighbors: Neighbors | None = None
    vectors: NDArray[np.float32] | None = None


class TSRecRecommender(GenerativeRecommender[TSRecSearcher]):
    """MiniOneRec and TS-Rec: one prompt in, an identifier out; see `models.causal`."""

    model: TSRecNetwork

    def __init__(
        self, catalog: Catalog, backbone: Backbone, model: TSRecNetwork, settings: TSRecSettings, known: TSRecInputs
    ) -> None:
        """Hold the parts; `create`, `build` and `load` make them."""
        super().__init__(catalog)
        self.backbone, self.model, self.settings = backbone, model, settings
        self.identifiers, self.words, self.semantic_ids = known.identifiers, known.words, known.semantic_ids
        self.builder = PromptBuilder(backbone.tokenizer, known.identifiers.tokens, settings.prompts)
        self.curve: list[dict[str, float]] = []
        self.initialised: dict[str, Any] | None = None
        self.asked: dict[str, int] = {}
        self.origin: dict[str, Any] = {}

    # --------------------------------------------------------------------------------------------------- making

    @classmethod
    def create(
        cls,
        backbone: str | CausalBackboneSettings | Backbone,
        catalog: Catalog,
        codes: Codes,
        lexicon: Lexicon | None = None,
        settings: TSRecSettings | None = None,
    ) -> Self:
        """Spell the items by their codes and build an untrained recommender.

        Args:
            backbone: a folder, a hub name, `scratch:tiny|small|base`, settings, or a loaded backbone.
            catalog: the items.
            codes: their residual codes; every item has codes of its own.
            lexicon: what the codes' cells mean, for SA-Init and TS-Align; those are left out without it.
            settings: of the model; by default MiniOneRec's with the `catalog` likelihood.
        """
        settings = settings or TSRecSettings()
        if not isinstance(backbone, Backbone):
            backbone = load_causal(backbone, texts=catalog.texts(), seed=settings.seed)
        words = token_words(lexicon, codes) if lexicon is not None else []
        return cls.build(catalog, backbone, TSRecInputs(codes_as_tokens(codes), words), settings)

    @classmethod
    def build(
        cls, catalog: Catalog, backbone: Backbone, known: TSRecInputs, settings: TSRecSettings | None = None
    ) -> Self:
        """Build an untrained recommender from identifiers and what else is known about the items and the tokens.

        The backbone gets the identifiers' tokens; with `sa_init` they start with the meaning of their keywords.

        Raises:
            DataError: what is known is not about the catalogue's items; or a grounded head lacks vectors.
            SettingsError: SA-Init is asked for and there are no words.
        """
        settings = settings or TSRecSettings()
        check_sizes(
            catalog,
            identifiers=len(known.identifiers.tokens),
            semantic_IDs=None if known.semantic_ids is None else len(known.semantic_ids),
            neighbors=None if known.neighbors is None else len(known.neighbors),
            vectors=None if known.vectors is None else len(known.vectors),
        )
        new = known.identifiers.new_pieces(backbone.tokenizer)
        add_tokens(backbone, new, seed=settings.seed, spread=settings.token_spread)
        initialised = None
        if settings.sa_init is not None:
            if not known.words:
                raise SettingsError("sa_init is asked for, but no lexicon says what the tokens mean; give one")
            from lexirec.models.tsrec.sa_init import sa_init  # used before training only

            initialised = sa_init(backbone, known.words, settings.sa_init)
        identifiers = known.identifiers.in_vocabulary(backbone.tokenizer)
        given = (
            item_features(known.vectors, known.neighbors, settings.network.neighbor_features),
            MixedRows.of(known.neighbors, settings.network.neighbor_rows),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = _assemble(backbone, settings, identifiers, given)
        spelled = TSRecInputs(identifiers, known.words, known.semantic_ids)
        made = cls(catalog, backbone, model, settings, spelled)
        made.initialised = initialised
        return made

    def fit(
        self,
        train: Sequences,
        *,
        validation: Cases | None = None,
        folder: str | Path | None = None,
        training: SftSettings | None = None,
        preferences: Sequence[str] | None = None,
    ) -> Self:
        """Fine-tune on the tasks; with validation cases the best weights by NDCG@10 are kept.

        Args:
            train: rows of item numbers, oldest first.
            validation: cases that choose the weights and the end of training.
            folder: where checkpoints go, so that a killed run carries on; by default a temporary one.
            training: how; by default what `settings.training` says.
            preferences: what was written about each row's user, for the task `preference`.
        """
        from lexirec.models.tsrec.sft import fit_recommender  # loading and recommending need no trainer

        self._to_device()
        chosen = training or self.settings.training
        fit_recommender(self, train, chosen, validation=validation, folder=folder, preferences=preferences)
        return self

    def reinforce(
        self,
        train: Sequences,
        settings: ReinforcementSettings | None = None,
        *,
        validation: Cases | None = None,
        folder: str | Path | None = None,
        vectors: NDArray[np.floating[Any]] | None = None,
        scorer: Callable[[Sequences], NDArray[np.floating[Any]]] | None = None,
    ) -> Self:
        """Polish the fine-tuned model on what its own proposals are paid; validation decides what remains.

        Args:
            train: rows of item numbers, oldest first; every event with a history is a case.
            settings: how, and what for; by default MiniOneRec's rewards.
            validation: cases that choose the weights; those from before count, so that it never ends below them.
            folder: where checkpoints go, so that a killed run carries on; by default a temporary one.
            vectors: of items (I, d), for the reward `semantic`.
            scorer: scores of histories (rows, I), for the reward `collaborative`.
        """
        from lexirec.models.tsrec.grpo import reinforce_recommender  # likewise

        self._to_device()
        chosen = settings or ReinforcementSettings()
        reinforce_recommender(self, train, chosen, validation=validation, folder=folder, vectors=vectors, scorer=scorer)
        self._searcher = None
        return self

    # ---------------------------------------------------------------------------------------------------- using

    @property
    def protocol(self) -> dict[str, Any]:
        """What a protocol card says about how lists are made."""
        search = self.settings.search
        return {
            "recommender": "causal",
            "search": f"beam search, width {search.num_beams}",
            "length_penalty": search.length_penalty,
            "probabilities": self.settings.network.likelihood == "catalog" and search.length_penalty is None,
            "settings": self.settings.model_dump(mode="json"),
            **self.origin,
        }

    def _make_searcher(self) -> TSRecSearcher:
        return TSRecSearcher(self.model, self.builder, self.settings.search)

    def user_census(self, histories: Sequences) -> HistoryCensus:
        """Count what the limit on prompts costs these histories."""
        return self.builder.census(histories)

    # --------------------------------------------------------------------------------------------------- saving

    def save(self, folder: str | Path) -> None:
        """Write one complete folder: catalogue, tokenizer, configuration, weights, identifiers, words, settings."""
        target = Path(folder)
        write_parts(target, self._catalog, self.identifiers, self.settings, self.model)
        save_causal(self.backbone, target / _BACKBONE)
        words = json.dumps([asdict(word) for word in self.words], ensure_ascii=False)
        (target / _WORDS).write_text(words + "\n", encoding="utf-8")
        if self.semantic_ids is not None:
            np.save(target / _GROUPS, self.semantic_ids, allow_pickle=False)
        write_manifest(target, {"kind": "causal", "origin": self.origin}, self._catalog)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the folder is incomplete, damaged, or its parts do not belong together.
        """
        source = Path(folder)
        saved = read_parts(source, TSRecSettings)
        with undamaged(source):
            backbone = restore_causal(source / _BACKBONE)
            words = [_word(row) for row in json.loads((source / _WORDS).read_text(encoding="utf-8"))]
        groups = load_array(source / _GROUPS) if (source / _GROUPS).is_file() else None
        model = _assemble(backbone, saved.settings, saved.identifiers, given_rows(saved.weights))
        put_weights(model, saved, source)
        spelled = TSRecInputs(saved.identifiers, words, groups)
        made = cls(saved.catalog, backbone, model, saved.settings, spelled)
        made.origin = saved.manifest.get("origin", {})
        return made


def _assemble(
    backbone: Backbone,
    settings: TSRecSettings,
    identifiers: Identifiers,
    given: tuple[NDArray[np.float32] | None, MixedRows | None],
) -> TSRecNetwork:
    """Put the network together; weights are fresh except the backbone's."""
    width = backbone.model.get_input_embeddings().weight.shape[1]
    items = ItemRows(len(identifiers.tokens), width, *given) if settings.network.grounded else None
    return TSRecNetwork(backbone.model, settings.network, Trie.build(identifiers.tokens), items)


def _word(row: dict[str, Any]) -> TokenWords:
    weights = row["weights"]
    return TokenWords(
        row["token"],
        row["level"],
        tuple(row["keywords"]),
        None if weights is None else tuple(weights),
        row["description"],
    )
