"""The GRAM recommender: build it from a catalogue, train it, recommend with it, save and load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from lexirec.core.arguments import given_path
from lexirec.core.errors import ArtifactError
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.ranking import check_sizes
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.decoding.trie import Trie
from lexirec.models.base import GenerativeRecommender
from lexirec.models.gram.item_prompts import PromptCensus, item_prompts
from lexirec.models.gram.network import GramNetwork
from lexirec.models.gram.settings import GramSettings, GramTrainingSettings, PromptSettings
from lexirec.models.gram.step_decoder import GramSearcher
from lexirec.models.gram.stored_states import StoredStates
from lexirec.models.gram.user_prompts import UserCensus, UserPrompts
from lexirec.models.saving import BACKBONE, put_weights, read_parts, undamaged, write_manifest, write_parts
from lexirec.nn.embedding_table import ItemRows, MixedRows, given_rows, item_features
from lexirec.nn.ragged import Ragged
from lexirec.nn.t5 import (
    Backbone,
    BackboneSettings,
    add_tokens,
    load_backbone,
    restore_backbone,
    save_configuration,
    untie,
)
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.lexicon.field_names import without_field_names
from lexirec.semantic_ids.lexicon.lexicon import Lexicon, tfidf_lexicon

_PROMPTS = "prompts.safetensors"


class GramInputs(NamedTuple):
    """Item data that GRAM reads besides the catalogue's texts.

    Attributes:
        identifiers: the items' identifiers, in the backbone's vocabulary or in tokens that can be added to it.
        neighbors: similar items, listed in prompts and averaged for grounded heads; None for none.
        vectors: float32 (I, F), for grounded heads; None for none.
    """

    identifiers: Identifiers
    neighbors: Neighbors | None = None
    vectors: NDArray[np.float32] | None = None


class GramRecommender(GenerativeRecommender[GramSearcher]):
    """GRAM: generates identifiers from late-fused prompts; see `models.gram.network`."""

    model: GramNetwork

    def __init__(
        self,
        catalog: Catalog,
        backbone: Backbone,
        model: GramNetwork,
        settings: GramSettings,
        items: tuple[Identifiers, Ragged],
    ) -> None:
        """Hold the parts; `create`, `build` and `load` make them.

        Args:
            catalog: the items.
            backbone: model and tokenizer.
            model: the network around the backbone.
            settings: of the recommender.
            items: identifiers, and item prompts as token ids.
        """
        super().__init__(catalog)
        self.backbone, self.model, self.settings = backbone, model, settings
        self.identifiers, self._item_prompts = items
        self.curve: list[dict[str, float]] = []
        self.census: PromptCensus | None = None
        self._states: Path | None = None

    # --------------------------------------------------------------------------------------------------- making

    @classmethod
    def create(
        cls,
        backbone: str | BackboneSettings | Backbone,
        catalog: Catalog,
        codes: Codes,
        lexicon: Lexicon | None = None,
        settings: GramSettings | None = None,
    ) -> Self:
        """Make identifiers from codes and a lexicon, and build an untrained recommender.

        Args:
            backbone: a folder, a hub name, `scratch:tiny|small|base`, settings, or a loaded backbone.
            catalog: the items.
            codes: the items' paths in the hierarchy of clusters.
            lexicon: terms of the clusters: by default TF-IDF terms among the backbone's own pieces; words outside its
                vocabulary are added to it.
            settings: of the recommender; by default the paper's fusion with the `catalog` likelihood and without
                similar items in the prompts, which need neighbours (see `build`).
        """
        settings = settings or GramSettings(prompts=PromptSettings(parts=("item", "metadata")))
        if not isinstance(backbone, Backbone):
            backbone = load_backbone(backbone, texts=catalog.texts(), seed=settings.seed)
        terms = lexicon or tfidf_lexicon(catalog.texts(), codes, backbone.tokenizer)
        tokenizer = backbone.tokenizer if set(terms.vocabulary) <= backbone.tokenizer.get_vocab().keys() else None
        identifiers = Identifiers.from_lexicon(without_field_names(terms, catalog), codes, tokenizer)
        return cls.build(catalog, backbone, GramInputs(identifiers), settings)

    @classmethod
    def build(
        cls, catalog: Catalog, backbone: Backbone, inputs: GramInputs, settings: GramSettings | None = None
    ) -> Self:
        """Build an untrained recommender from identifiers and further item data.

        Raises:
            DataError: identifiers, neighbours or vectors are not one per item of the catalogue; or a grounded head has
                neighbours but no vectors for its rows.
        """
        settings = settings or GramSettings()
        check_sizes(
            catalog,
            identifiers=len(inputs.identifiers.tokens),
            neighbors=None if inputs.neighbors is None else len(inputs.neighbors),
            vectors=None if inputs.vectors is None else len(inputs.vectors),
        )
        new = inputs.identifiers.new_pieces(backbone.tokenizer)
        add_tokens(backbone, new, seed=settings.seed, spread=settings.token_spread)
        identifiers = inputs.identifiers.in_vocabulary(backbone.tokenizer)
        near = inputs.neighbors.items if inputs.neighbors is not None else None
        fields = {field: catalog.field(field) for field in catalog.text_fields}
        prompts, census = item_prompts(fields, identifiers.tokens, near, backbone.tokenizer, settings.prompts)
        features = item_features(inputs.vectors, inputs.neighbors, settings.network.neighbor_features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            mixed = MixedRows.of(inputs.neighbors, settings.network.neighbor_rows)
            model = assemble(backbone, settings, (identifiers, prompts), (features, mixed))
        recommender = cls(catalog, backbone, model, settings, (identifiers, prompts))
        recommender.census = census
        return recommender

    def fit(
        self,
        train: Sequences,
        *,
        validation: Cases | None = None,
        folder: str | Path | None = None,
        training: GramTrainingSettings | None = None,
    ) -> Self:
        """Train in place; with validation cases the best weights by NDCG@10 are kept.

        Args:
            train: rows of item numbers, oldest first.
            validation: cases that choose the weights and the end of training.
            folder: of the checkpoints from which a killed run resumes; by default a temporary one.
            training: settings; by default `settings.training`.
        """
        from lexirec.models.gram.training import fit_recommender  # loading and recommending need no trainer

        self._to_device()
        fit_recommender(self, train, training or self.settings.training, validation=validation, folder=folder)
        return self

    # ---------------------------------------------------------------------------------------------------- using

    @property
    def protocol(self) -> dict[str, Any]:
        """How lists are made, for the protocol card: search, likelihood and settings."""
        search = self.settings.search
        return {
            "recommender": "late-fusion",
            "search": f"beam search, width {search.num_beams}",
            "length_penalty": search.length_penalty,
            "probabilities": self.settings.network.likelihood == "catalog"
            and search.length_penalty is None
            and self.trained is None,
            "settings": self.settings.model_dump(mode="json"),
            **self.settings.network.training_card(len(self._catalog)),
        }

    def _make_searcher(self) -> GramSearcher:
        states = StoredStates(self._states, self.model.device) if self._states is not None else None
        return GramSearcher(self.model, self.settings.search, states)

    def read_states(self, folder: Path) -> None:
        """Let searches read the items' encodings from files (`models.gram.stored_states`) instead of computing them.

        They must be those of the present weights; training forgets them.

        Raises:
            ArtifactError: the files are damaged, or of another catalogue.
        """
        if len(StoredStates(folder)) != len(self._catalog):
            raise ArtifactError(f"{folder}: the encodings are of other items; remove the folder")
        self._states, self._searcher = folder, None

    @property
    def states_folder(self) -> Path | None:
        """Where searches read the items' encodings; None where they are computed."""
        return self._states

    def _to_device(self) -> None:
        self._states = None
        super()._to_device()

    def user_census(self, histories: Sequences) -> UserCensus | None:
        """Count the items that these histories lose to the limit on user prompts; None without such prompts."""
        if self.settings.network.user_prompt != "identifiers":
            return None
        newest = histories.padded(self.settings.network.max_history, newest_first=True)
        users = UserPrompts(self.identifiers.tokens, self.backbone.tokenizer, self.settings.prompts)
        return users.census(torch.from_numpy(newest).long())

    @property
    def item_prompts(self) -> Ragged:
        """The items' prompts, one row of token ids each."""
        return self._item_prompts

    # --------------------------------------------------------------------------------------------------- saving

    def save(self, folder: str | Path) -> None:
        """Write one complete folder: catalogue, tokenizer, configuration, weights, identifiers, prompts, settings."""
        target = Path(folder)
        write_parts(target, self._catalog, self.identifiers, self.settings, self.model, trained=self.trained)
        save_configuration(self.backbone, target / BACKBONE)
        save_file({"values": self._item_prompts.values, "offsets": self._item_prompts.offsets}, target / _PROMPTS)
        write_manifest(target, {"kind": "late-fusion"}, self._catalog, trained=self.trained)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the folder is incomplete, damaged, or its parts do not belong together.
        """
        source = given_path("folder", folder)
        saved = read_parts(source, GramSettings)
        with undamaged(source):
            backbone = restore_backbone(saved.backbone)
            stored = load_file(source / _PROMPTS)
            items = saved.identifiers, Ragged(stored["values"], stored["offsets"])
        if "backbone.lm_head.weight" in saved.weights:  # tied weights are stored once, as those of the input layer
            untie(backbone.model)
        model = assemble(backbone, saved.settings, items, given_rows(saved.weights), saved.trained)
        put_weights(model, saved, source)
        return cls(saved.catalog, backbone, model, saved.settings, items)


def assemble(
    backbone: Backbone,
    settings: GramSettings,
    item_inputs: tuple[Identifiers, Ragged],
    features: tuple[NDArray[np.float32] | None, MixedRows | None],
    trained: int | None = None,
) -> GramNetwork:
    """Build the network; weights are fresh except the backbone's.

    Args:
        backbone: model and tokenizer.
        settings: of the recommender.
        item_inputs: identifiers, and item prompts as token ids.
        features: of the items, and the neighbours mixed into their rows (grounded heads).
        trained: number of leading items that the weights were trained with; None for all.
    """
    fusion, (identifiers, prompts) = settings.network, item_inputs
    end = backbone.model.config.eos_token_id if fusion.likelihood == "vocabulary" else None
    users = UserPrompts(identifiers.tokens, backbone.tokenizer, settings.prompts)
    width = backbone.model.config.d_model
    items = ItemRows(len(identifiers.tokens), width, *features) if fusion.grounded else None
    trie = Trie.build(identifiers.tokens, end=end, trained=trained)
    _check_lengths(backbone, settings, prompts)
    return GramNetwork(backbone.model, fusion, trie, (prompts, users), items, backbone.text_encoder)


def _check_lengths(backbone: Backbone, settings: GramSettings, prompts: Ragged) -> None:
    """Check that a pretrained encoder has positions for all prompts that it will read."""
    encoder, how = backbone.text_encoder, settings.prompts
    if encoder is None:
        return
    if settings.network.item_prompts and len(prompts):
        setting = "max_length" if how.layout == "paper" else "metadata_tokens, similar_tokens or identifier_tokens"
        encoder.check_length(int(prompts.lengths.max()), f"prompts.{setting}")
    if settings.network.user_prompt == "identifiers":
        setting = "max_length" if how.layout == "paper" else "user_max_length"
        encoder.check_length(getattr(how, setting), f"prompts.{setting}")
