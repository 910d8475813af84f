"""The TS-Rec recommender: build it from codes, fine-tune, reinforce, recommend, save and load it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from lexirec.core.arguments import given_path
from lexirec.core.errors import SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.ranking import check_sizes
from lexirec.data.sequences import Sequences, load_array
from lexirec.data.splits import Cases
from lexirec.decoding.trie import Trie
from lexirec.models.base import GenerativeRecommender
from lexirec.models.saving import BACKBONE, put_weights, read_parts, undamaged, write_manifest, write_parts
from lexirec.models.tsrec.keywords import TokenWords, token_words
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.prompts import HistoryCensus, PromptBuilder
from lexirec.models.tsrec.settings import ReinforcementSettings, SftSettings, TSRecSettings
from lexirec.models.tsrec.step_decoder import TSRecSearcher
from lexirec.nn.backbone_fit import positions_of
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal, restore_causal, save_causal
from lexirec.nn.embedding_table import ItemRows, MixedRows, given_rows, item_features
from lexirec.nn.t5 import Backbone, add_tokens
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens
from lexirec.semantic_ids.lexicon.lexicon import Lexicon

_log = logging.getLogger(__name__)
_WORDS = "words.json"
_GROUPS = "semantic_ids.npy"


@dataclass(frozen=True, eq=False)
class TSRecInputs:
    """Item data that TS-Rec reads besides the catalogue's texts.

    Attributes:
        identifiers: the items' identifiers, in the backbone's vocabulary or in tokens that can be added to it.
        words: keywords and descriptions of the tokens, for SA-Init and TS-Align; empty for none.
        semantic_ids: int32 (I, levels), the codes without the level that distinguishes colliding items, for metrics
            per semantic ID; None where they equal the identifiers.
        neighbors: similar items, for grounded heads; None for none.
        vectors: float32 (I, F), for grounded heads; None for none.
    """

    identifiers: Identifiers
    words: Sequence[TokenWords] = field(default=())
    semantic_ids: NDArray[np.int32] | None = None
    neighbors: Neighbors | None = None
    vectors: NDArray[np.float32] | None = None


class TSRecRecommender(GenerativeRecommender[TSRecSearcher]):
    """MiniOneRec and TS-Rec: a causal language model that generates identifiers; see `models.tsrec.network`.

    Attributes:
        example_counts: training examples of each task, after `fit`.
        sa_init_report: what SA-Init wrote; None without it.
        origin: provenance of a transferred recommender, JSON values; part of manifest and protocol card.
    """

    model: TSRecNetwork

    def __init__(
        self, catalog: Catalog, backbone: Backbone, model: TSRecNetwork, settings: TSRecSettings, inputs: TSRecInputs
    ) -> None:
        """Hold the parts; `create`, `build` and `load` make them."""
        super().__init__(catalog)
        self.backbone, self.model, self.settings = backbone, model, settings
        self.identifiers, self.words, self.semantic_ids = inputs.identifiers, inputs.words, inputs.semantic_ids
        positions = positions_of(backbone.model.config)
        self.builder = PromptBuilder(backbone.tokenizer, inputs.identifiers.tokens, settings.prompts, positions)
        self.curve: list[dict[str, float]] = []
        self.sa_init_report: dict[str, Any] | None = None
        self.example_counts: dict[str, int] = {}
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
        """Make identifiers from codes and build an untrained recommender.

        Args:
            backbone: a folder, a hub name, `scratch:tiny|small|base`, settings, or a loaded backbone.
            catalog: the items.
            codes: their residual codes, different for every item.
            lexicon: keywords of the codes' cells, for SA-Init and TS-Align, which are left out without it.
            settings: of the recommender; by default MiniOneRec's with the `catalog` likelihood.
        """
        settings = settings or TSRecSettings()
        if not isinstance(backbone, Backbone):
            backbone = load_causal(backbone, texts=catalog.texts(), seed=settings.seed)
        words = token_words(lexicon, codes) if lexicon is not None else []
        return cls.build(catalog, backbone, TSRecInputs(codes_as_tokens(codes), words), settings)

    @classmethod
    def build(
        cls, catalog: Catalog, backbone: Backbone, inputs: TSRecInputs, settings: TSRecSettings | None = None
    ) -> Self:
        """Build an untrained recommender from identifiers and further data about items and tokens.

        The identifiers' tokens are added to the backbone; with `sa_init` their embeddings come from their keywords.

        Raises:
            DataError: the inputs are not one per item of the catalogue; or a grounded head lacks vectors.
            SettingsError: `sa_init` is set and there are no words.
        """
        settings = settings or TSRecSettings()
        check_sizes(
            catalog,
            identifiers=len(inputs.identifiers.tokens),
            semantic_IDs=None if inputs.semantic_ids is None else len(inputs.semantic_ids),
            neighbors=None if inputs.neighbors is None else len(inputs.neighbors),
            vectors=None if inputs.vectors is None else len(inputs.vectors),
        )
        new = inputs.identifiers.new_pieces(backbone.tokenizer)
        add_tokens(backbone, new, seed=settings.seed, spread=settings.token_spread)
        sa_init_report = None
        if settings.sa_init is not None:
            if not inputs.words:
                raise SettingsError(
                    "sa_init is set, but there is no lexicon that describes the tokens; give one, or leave sa_init out"
                )
            from lexirec.models.tsrec.sa_init import sa_init  # needed before training only

            sa_init_report = sa_init(backbone, inputs.words, settings.sa_init)
        identifiers = inputs.identifiers.in_vocabulary(backbone.tokenizer)
        features = (
            item_features(inputs.vectors, inputs.neighbors, settings.network.neighbor_features),
            MixedRows.of(inputs.neighbors, settings.network.neighbor_rows),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = assemble(backbone, settings, identifiers, features)
        kept = TSRecInputs(identifiers, inputs.words, inputs.semantic_ids)
        recommender = cls(catalog, backbone, model, settings, kept)
        recommender.sa_init_report = sa_init_report
        if recommender.builder.cut_by_positions:
            _log.warning("%s", recommender.builder.limit_in_words)
        return recommender

    def fit(
        self,
        train: Sequences,
        *,
        validation: Cases | None = None,
        folder: str | Path | None = None,
        training: SftSettings | None = None,
        preferences: Sequence[str] | None = None,
    ) -> Self:
        """Fine-tune in place on the tasks; with validation cases the best weights by NDCG@10 are kept.

        Args:
            train: rows of item numbers, oldest first.
            validation: cases that choose the weights and the end of training.
            folder: of the checkpoints from which a killed run resumes; by default a temporary one.
            training: settings; by default `settings.training`.
            preferences: a text about each row's user, for the task `preference`.
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
        """Reinforce the fine-tuned model in place by rewards of its proposals; validation keeps the best weights.

        Args:
            train: rows of item numbers, oldest first; every event with a history is a case.
            settings: of training and rewards; by default MiniOneRec's rewards.
            validation: cases that choose the weights; the initial ones are validated too, so it never ends below them.
            folder: of the checkpoints from which a killed run resumes; by default a temporary one.
            vectors: of items (I, d), for the reward `semantic`.
            scorer: scores of histories (rows, I), for the reward `collaborative`.
        """
        from lexirec.models.tsrec.grpo import reinforce_recommender  # loading and recommending need no trainer

        self._to_device()
        chosen = settings or ReinforcementSettings()
        reinforce_recommender(self, train, chosen, validation=validation, folder=folder, vectors=vectors, scorer=scorer)
        self._searcher = None
        return self

    # ---------------------------------------------------------------------------------------------------- using

    @property
    def protocol(self) -> dict[str, Any]:
        """How lists are made, for the protocol card: search, likelihood, settings and origin."""
        search = self.settings.search
        return {
            "recommender": "causal",
            "search": f"beam search, width {search.num_beams}",
            "length_penalty": search.length_penalty,
            "probabilities": self.settings.network.likelihood == "catalog"
            and search.length_penalty is None
            and self.trained is None,
            "settings": self.settings.model_dump(mode="json"),
            **self.settings.network.training_card(len(self._catalog)),
            **self.origin,
        }

    def _make_searcher(self) -> TSRecSearcher:
        return TSRecSearcher(self.model, self.builder, self.settings.search)

    def user_census(self, histories: Sequences) -> HistoryCensus:
        """Count the items that these histories lose to the limit on prompts."""
        return self.builder.census(histories)

    # --------------------------------------------------------------------------------------------------- saving

    def save(self, folder: str | Path) -> None:
        """Write one complete folder: catalogue, tokenizer, configuration, weights, identifiers, words, settings."""
        target = Path(folder)
        write_parts(target, self._catalog, self.identifiers, self.settings, self.model, trained=self.trained)
        save_causal(self.backbone, target / BACKBONE)
        words = json.dumps([asdict(word) for word in self.words], ensure_ascii=False)
        (target / _WORDS).write_text(words + "\n", encoding="utf-8")
        if self.semantic_ids is not None:
            np.save(target / _GROUPS, self.semantic_ids, allow_pickle=False)
        write_manifest(target, {"kind": "causal", "origin": self.origin}, self._catalog, trained=self.trained)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the folder is incomplete, damaged, or its parts do not belong together.
        """
        source = given_path("folder", folder)
        saved = read_parts(source, TSRecSettings)
        with undamaged(source):
            backbone = restore_causal(saved.backbone)
            words = [_word(row) for row in json.loads((source / _WORDS).read_text(encoding="utf-8"))]
        groups = load_array(source / _GROUPS) if (source / _GROUPS).is_file() else None
        model = assemble(backbone, saved.settings, saved.identifiers, given_rows(saved.weights), saved.trained)
        put_weights(model, saved, source)
        recommender = cls(saved.catalog, backbone, model, saved.settings, TSRecInputs(saved.identifiers, words, groups))
        recommender.origin = saved.manifest.get("origin", {})
        return recommender


def assemble(
    backbone: Backbone,
    settings: TSRecSettings,
    identifiers: Identifiers,
    features: tuple[NDArray[np.float32] | None, MixedRows | None],
    trained: int | None = None,
) -> TSRecNetwork:
    """Build the network; weights are fresh except the backbone's. `trained` leading items had weights (None: all)."""
    width = backbone.model.get_input_embeddings().weight.shape[1]
    items = ItemRows(len(identifiers.tokens), width, *features) if settings.network.grounded else None
    return TSRecNetwork(backbone.model, settings.network, Trie.build(identifiers.tokens, trained=trained), items)


def _word(row: dict[str, Any]) -> TokenWords:
    weights = row["weights"]
    return TokenWords(
        row["token"],
        row["level"],
        tuple(row["keywords"]),
        None if weights is None else tuple(weights),
        row["description"],
    )
