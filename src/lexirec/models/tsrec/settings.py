"""Settings of TS-Rec: prompts, network, tasks, SA-Init, supervised fine-tuning, reinforcement and search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings
from lexirec.core.registry import WeightSettings
from lexirec.core.trainer_settings import TrainerSettings
from lexirec.models.distillation_teacher import DistillationSettings, check_teachable
from lexirec.models.tsrec.keywords import Pooling
from lexirec.models.tsrec.registry import REWARDS, TASKS
from lexirec.nn.head_base import HeadSettings
from lexirec.nn.search import SearchSettings

TITLE_TOKENS = 64
"""Default token limit of a title; few are longer."""

DESCRIPTION_TOKENS = 160
"""Default token limit of a description, of a token's meaning or of a user's preference."""

Trainable = Literal["full", "lora", "embeddings"]


class TSRecPromptSettings(Settings):
    """Frame and limits of prompts."""

    frame: Literal["alpaca", "plain"] = "alpaca"
    """alpaca: sentences under headings, for pretrained language models. plain: the items and a cue of a word or two,
    which is enough for models from random weights and several times shorter."""
    category: str = ""
    """Category of the items, such as "office": sentences then say "office items"."""
    max_history: int = Field(default=10, ge=1)
    """Newest items of a history in a prompt."""
    max_length: int = Field(default=512, ge=8)
    """Tokens of a prompt, without its answer; beyond it whole items are dropped, the oldest first."""


class TSRecNetworkSettings(HeadSettings):
    """The head, and the embedding of items in prompts."""

    embeddings: Literal["tokens", "grounded"] = "tokens"
    """Embedding of items in prompts: their tokens, or their tokens plus the rows of the trie nodes these enter."""

    @model_validator(mode="after")
    def _embeds_what_it_has(self) -> Self:
        if self.embeddings == "grounded" and self.head != "grounded":
            raise ValueError(
                'embeddings "grounded" are the rows of head "grounded"; set that head, too, or embeddings = "tokens", '
                "as the paper has them"
            )
        return self


class LoraSettings(Settings):
    """Low-rank updates (peft) of the backbone's linear layers; they are merged into it after training."""

    rank: int = Field(default=16, ge=1)
    """Rank of each update."""
    alpha: int = Field(default=32, ge=1)
    """Updates are scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the inputs of the updates."""
    layers: tuple[str, ...] = ()
    """Names of the updated linear layers, such as "q_proj"; empty for all but the language head."""


class SftSettings(TrainerSettings):
    """Supervised fine-tuning. The defaults suit pretrained models; models from scratch need higher learning rates."""

    trainable: Trainable = "full"
    """full: all weights. lora: low-rank updates (peft) and the embeddings of added tokens. embeddings: those embeddings
    alone. A grounded head is always trained."""
    lora: LoraSettings = LoraSettings()
    """The low-rank updates."""
    distillation: DistillationSettings = DistillationSettings()
    """Soft targets from a teacher, beside the items that were bought."""
    batch_size: int = Field(default=32, ge=1)
    """Examples of a batch, of like length; times `gradient_accumulation_steps` those of a step."""
    validation_users: int = Field(default=2000, ge=1)
    """Validation users that choose the weights; a fixed random sample where there are more."""
    validation_num_beams: int = Field(default=20, ge=10)
    """Beam width of validation; the final evaluation uses the search settings."""
    patience: int = Field(default=3, ge=1)
    """Validations in a row without a better model after which training stops."""


class Limits(NamedTuple):
    """Limits on the update of a policy.

    Attributes:
        clip: ratios are clipped to 1 ± clip.
        beta: weight of the KL divergence from the reference.
        log_ratio: bound of log-ratios: beyond it ratios are clamped, and the KL estimate continues linearly.
    """

    clip: float = 0.2
    beta: float = 0.04
    log_ratio: float = 3.0


class GrpoSettings(TrainerSettings):
    """Reinforcement by GRPO. The defaults are safe for pretrained models; models from scratch bear higher rates."""

    epochs: int = Field(default=1, ge=1)
    """Times every case is seen."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Of AdamW, after the warm-up and before the decay."""
    max_grad_norm: float = Field(default=0.3, gt=0)
    """Global norm at which gradients are clipped."""
    evals_per_epoch: int = Field(default=10, ge=1)
    """Number of validations per epoch."""
    cases: int = Field(default=20_000, ge=1)
    """Training cases; a fixed random sample where there are more."""
    batch_size: int = Field(default=16, ge=1)
    """Cases of a batch; times `gradient_accumulation_steps` those of a step."""
    group: int = Field(default=16, ge=2)
    """Proposals per case: the beams of the search."""
    add_target: bool = False
    """Whether the last proposal of a group without the target is replaced by it."""
    zero_groups: Literal["skip", "kl"] = "skip"
    """Groups with equal rewards: skip leaves them out; kl keeps them for their KL divergence."""
    beta: float = Field(default=0.04, ge=0)
    """Weight of the KL divergence from the initial weights; 0 saves the copy of them. MiniOneRec uses 0.001, for which
    divergences of 10^12 were reported."""
    updates: int = Field(default=1, ge=1)
    """Optimiser steps on the same proposals."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """Ratios are clipped to 1 ± clip; this matters from the second update on."""
    max_log_ratio: float = Field(default=3.0, gt=0)
    """Bound of log-ratios: beyond it ratios are clamped, and the KL estimate continues linearly."""
    max_drop: float = Field(default=0.1, ge=0, le=1)
    """Share of the initial validation metric that may be lost; a greater loss stops the run."""
    validation_users: int = Field(default=2000, ge=1)
    """Validation users that choose the weights; a fixed random sample where there are more."""
    validation_num_beams: int = Field(default=20, ge=10)
    """Beam width of validation."""

    @property
    def limits(self) -> Limits:
        """Limits on the update of the policy."""
        return Limits(self.clip, self.beta, self.max_log_ratio)


class RewardSettings(WeightSettings):
    """Weights of the rewards; 0 leaves one out. The defaults are MiniOneRec's."""

    parts: ClassVar[Mapping[str, Any]] = REWARDS
    exact: float = 1.0
    """Weight of the reward 1 for the target."""
    rank_aware: float = 1.0
    """Weight of the penalty on the other items of a list with the target, by rank."""
    prefix_overlap: float = 0.0
    """Weight of the share of the target's path that a proposal has in common with it."""
    semantic: float = 0.0
    """Weight of the cosine of item vectors."""
    collaborative: float = 0.0
    """Weight of another recommender's scores."""
    token_semantic: float = 0.0
    """Weight of the similarity of tokens' meanings."""
    rank_slots: Literal["all", "others"] = "all"
    """Ranks over which the penalties sum to −1: all (MiniOneRec's code), or those of the other items (its paper)."""
    discount: float = Field(default=0.5, ge=0, le=1)
    """Factor on a token's reward for each wrong token before it."""


class TaskSettings(WeightSettings):
    """How often each task's rows occur in the training mixture: 1 once, 0 never, 2.5 twice and half of them again."""

    parts: ClassVar[Mapping[str, Any]] = TASKS
    __pydantic_extra__: dict[str, Annotated[float, Field(ge=0)]] = Field(init=False)
    next_item: float = Field(default=1.0, ge=0)
    """T1: the next item."""
    sid_title: float = Field(default=1.0, ge=0)
    """T2: the title of an item, and the item of a title."""
    history_title: float = Field(default=1.0, ge=0)
    """T3: the title of the next item."""
    title_history_title: float = Field(default=0.0, ge=0)
    """T4: the title of the next item, from a history of titles."""
    title_history_sid: float = Field(default=0.0, ge=0)
    """T5: the next item, from a history of titles."""
    sid_description: float = Field(default=0.0, ge=0)
    """T6: the description of an item, and the item of a description."""
    preference: float = Field(default=0.0, ge=0)
    """T7: a text about the user's preferences; needs one per user."""
    ts_align: float | None = Field(default=None, ge=0)
    """TS-Align: the meaning of a token, and the token of a meaning; by default 1 with a lexicon, else 0."""
    title_tokens: int = Field(default=TITLE_TOKENS, ge=1)
    """Tokens of a title, at most."""
    description_tokens: int = Field(default=DESCRIPTION_TOKENS, ge=1)
    """Tokens of a description, of a token's meaning or of a user's preference, at most."""


class SaInitSettings(Settings):
    """Initial embeddings of semantic-ID tokens (SA-Init)."""

    pooling: Pooling = "joined"
    """joined: the mean over all sub-words of the joined keywords, where long keywords weigh more (TS-Rec's code).
    keywords: the mean of the keywords' means. weighted: the same, weighted by the lexicon's scores or, where it has
    none, by how few tokens of the level share the keyword."""
    norm: Literal["none", "resize", "vocabulary"] = "resize"
    """Norm of the new rows. none: that of the mean. resize: the mean norm these rows have now, fresh from `add_tokens`.
    vocabulary: that of the vocabulary (TS-Rec's code; two to three times as long on Qwen, and worse there, spec section
    11.4)."""
    levels: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Levels whose tokens are initialised, from 0; all by default."""
    residual: bool = False
    """Subtract the mean of the level's rows, so that words common to all its tokens cancel."""
    shuffled: bool = False
    """Control experiment: every token gets the keywords of another token of its level."""
    outputs: bool = True
    """Also initialise an output table that is not tied to the input table, from its own rows."""
    seed: int = 0
    """Seed of the control experiment."""


class TSRecSettings(Settings):
    """A TS-Rec recommender: prompts, network, tasks, training and search."""

    kind: Literal["causal"] = "causal"
    network: TSRecNetworkSettings = TSRecNetworkSettings()
    """The head, and the embedding of items."""
    prompts: TSRecPromptSettings = TSRecPromptSettings()
    """Frame and limits of prompts."""
    sa_init: SaInitSettings | None = None
    """Initialise tokens from their keywords (TS-Rec); without it they start near the mean of all embeddings."""
    tasks: TaskSettings = TaskSettings()
    """Weights of the fine-tuning tasks; `ts_align` is TS-Rec's."""
    training: SftSettings = SftSettings()
    """Supervised fine-tuning."""
    search: SearchSettings = SearchSettings()
    """The beam search over the trie."""
    token_spread: float = Field(default=0.1, gt=0)
    """Spread of the embeddings of added tokens, relative to that of the existing ones. 0.1 suits pretrained
    embeddings; 1 suits a model from scratch whose identifiers consist of added tokens."""
    seed: int = 0
    """Seed of fresh weights."""

    @model_validator(mode="after")
    def _head_suits_distillation(self) -> Self:
        check_teachable(self.training.distillation, flat=self.network.flat)
        return self

    @property
    def wants_words(self) -> bool:
        """Whether SA-Init or TS-Align uses a lexicon, if there is one."""
        return self.sa_init is not None or self.tasks.ts_align is None or self.tasks.ts_align > 0


class ReinforcementSettings(Settings):
    """Reinforcement of a fine-tuned recommender."""

    training: GrpoSettings = GrpoSettings()
    """The GRPO training."""
    rewards: RewardSettings = RewardSettings()
    """Weights of the rewards."""
    scorer: str | None = None
    """Name of the baseline whose scores are the collaborative reward."""

    @model_validator(mode="after")
    def _collaborative_reward_has_scorer(self) -> ReinforcementSettings:
        if self.rewards.collaborative and self.scorer is None:
            raise ValueError(
                f"rewards.collaborative is {self.rewards.collaborative:g}, but 'scorer' is missing; set it to the"
                " name of a baseline"
            )
        return self
