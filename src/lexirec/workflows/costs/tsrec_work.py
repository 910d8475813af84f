"""Operations of TS-Rec and MiniOneRec: the fine-tuning mixture, GRPO, and beam search behind prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lexirec.models.tsrec.settings import ReinforcementSettings, TSRecSettings
from lexirec.nn.prompt_templates import (
    DESCRIPTION_ITEM,
    INSTRUCTION,
    ITEM_DESCRIPTION,
    ITEM_TITLE,
    MEANING_TOKEN,
    NEXT_ITEM,
    NEXT_TITLE,
    PREAMBLE,
    PREFERENCE,
    RESPONSE,
    TITLE_ITEM,
    TITLES_NEXT_ITEM,
    TITLES_NEXT_TITLE,
    TOKEN_MEANING,
    USER_INPUT,
    Question,
)
from lexirec.workflows.costs.facts import Facts, Meter
from lexirec.workflows.costs.phase import TRAINED, Phase, self_attention, times
from lexirec.workflows.costs.shapes import Shape

MEANING, KEYWORDS = 110, 40
"""Tokens of the description of a semantic-ID token: 77 words in TS-Rec's file; of keywords that counts have chosen."""
CODES = 256
"""Tokens of a level, where the codes do not say."""
_LOGIT_BYTES = 18.0
"""Bytes kept of one logit in training: logits, probabilities and gradients in float32, and a copy in half precision."""


@dataclass(frozen=True)
class Task:
    """Rows of one fine-tuning task: how many, tokens of the prompt, tokens of the answer, and whether it is an item."""

    name: str
    rows: float
    prompt: float
    answer: float
    item: bool


@dataclass(frozen=True)
class TSRecWork:
    """The work of one TS-Rec experiment.

    Attributes:
        shape: of its backbone.
        settings: of the model.
        facts: of its data.
        meter: counts tokens.
        described: number of semantic-ID tokens that a lexicon describes; 0 without one.
        meaning: mean tokens of such a description.
    """

    shape: Shape
    settings: TSRecSettings
    facts: Facts
    meter: Meter
    described: float = 0.0
    meaning: float = MEANING

    # ---------------------------------------------------------------------------------------------------- examples

    def _frame(self, question: Question) -> float:
        if self.settings.prompts.frame == "plain":
            return self.meter.mean([f" {question.cue}"])
        words = f"{PREAMBLE}\n\n{INSTRUCTION}\n{question.instruction}\n\n{USER_INPUT}\n{question.before}"
        return self.meter.mean([f"{words}{question.after}\n\n{RESPONSE}\n"])

    def _text(self, field: str, most: int) -> tuple[float, float]:
        """Return the share of items with a text in a field, and its mean tokens, at most so many."""
        if field not in self.facts.fields:
            return 0.0, 0.0
        letters = self.facts.letters(field)
        given = letters[letters > 0]
        tokens = np.minimum(given / self.meter.rate(self.facts), most)
        return len(given) / max(len(letters), 1), float(tokens.mean()) if len(given) else 0.0

    def tasks(self) -> list[Task]:
        """Return the rows of an epoch by task; every weight is applied."""
        weights = self.settings.tasks.weights()
        align = self.settings.tasks.ts_align
        weights["ts_align"] = float(self.described > 0) if align is None else align
        limit = float(self.settings.prompts.max_length)
        return [
            Task(task.name, task.rows * weights[task.name], min(limit, task.prompt), task.answer, task.item)
            for task in self._all_tasks()
            if weights[task.name]
        ]

    def _all_tasks(self) -> Iterator[Task]:
        facts, settings = self.facts, self.settings
        rows, items, sid = facts.rows, facts.n_items, facts.identifier
        titled, title = self._text("title" if "title" in facts.fields else facts.fields[0], settings.tasks.title_tokens)
        described, description = self._text("description", settings.tasks.description_tokens)
        gap = 0 if settings.prompts.frame == "plain" else 1
        history = facts.mean_history(settings.prompts.max_history)
        by_items, by_titles = history * (sid + gap), history * (title + 2 + gap)
        yield Task("next_item", rows, self._frame(NEXT_ITEM) + by_items, sid, item=True)
        yield Task("sid_title", items * titled, self._frame(ITEM_TITLE) + sid, title + 1, item=False)
        yield Task("sid_title", items * titled, self._frame(TITLE_ITEM) + title, sid, item=True)
        yield Task("history_title", rows, self._frame(NEXT_TITLE) + by_items, title + 1, item=False)
        yield Task("title_history_title", rows, self._frame(TITLES_NEXT_TITLE) + by_titles, title + 1, item=False)
        yield Task("title_history_sid", rows, self._frame(TITLES_NEXT_ITEM) + by_titles, sid, item=True)
        yield Task(
            "sid_description", items * described, self._frame(ITEM_DESCRIPTION) + sid, description + 1, item=False
        )
        yield Task("sid_description", items * described, self._frame(DESCRIPTION_ITEM) + description, sid, item=True)
        yield Task("preference", len(facts.train), self._frame(PREFERENCE) + by_items, MEANING, item=False)
        told = self.meaning
        yield Task("ts_align", self.described, self._frame(TOKEN_MEANING) + 1, told, item=False)
        yield Task("ts_align", self.described, self._frame(MEANING_TOKEN) + told, 2, item=False)

    # ------------------------------------------------------------------------------------------------------ phases

    def _read(self, rows: float, tokens: float) -> dict[str, float]:
        """Operations of reading rows of so many tokens."""
        shape = self.shape
        attention = self_attention(shape, shape.layers, rows * tokens, tokens, causal=True)
        return {"decoder": 2.0 * shape.decoder * rows * tokens, "attention": attention}

    def _output(self, tokens: float, *, item: bool) -> float:
        """Operations of the output layer for so many predicted tokens."""
        network = self.settings.network
        options: float = self.shape.vocabulary
        if item and network.likelihood == "catalog":
            options = self.facts.n_items if network.grounded else CODES
        return 2.0 * self.shape.width * options * tokens

    def training(self) -> Phase:
        """Return the supervised fine-tuning."""
        tasks, training = self.tasks(), self.settings.training
        rows = max(1.0, sum(task.rows for task in tasks))
        tokens = sum(task.rows * (task.prompt + task.answer) for task in tasks)
        forward: dict[str, float] = {"decoder": 0.0, "attention": 0.0, "output layer": 0.0}
        for task in tasks:
            for name, value in self._read(task.rows, task.prompt + task.answer).items():
                forward[name] += value
            forward["output layer"] += self._output(task.rows * task.answer, item=task.item)
        batch = training.batch_size * training.gradient_accumulation_steps
        longest = max((task.prompt + task.answer for task in tasks), default=1.0)
        answers = max((task.answer for task in tasks), default=1.0)
        # frozen weights need no gradients of their own: two thirds of the backward pass remain
        factor = TRAINED if training.trainable == "full" else 2.0
        return Phase(
            "training",
            training.epochs * rows,
            tokens / rows,
            int(training.epochs * rows // batch),
            times(factor * training.epochs, forward),
            {},
            self._kept(training.batch_size, longest, answers),
            TRAINED * self.shape.layers * training.epochs * rows / training.batch_size,
        )

    def _kept(self, rows: float, tokens: float, answers: float) -> float:
        """Bytes that a step keeps: of all layers, and of the logits of the answers."""
        logits = rows * answers * self.shape.vocabulary * _LOGIT_BYTES
        return rows * tokens * self.shape.layers * self.shape.activation_bytes() + logits

    def search(self, name: str, cases: float, beams: int) -> Phase:
        """Return the ranking of cases; a prompt is read once for all its beams."""
        prompt = self.tasks()[0].prompt if self.settings.tasks.next_item else self._frame(NEXT_ITEM)
        steps = self.facts.identifier
        parts = self._read(cases, prompt)
        behind = cases * beams * steps
        parts["decoder"] += 2.0 * self.shape.decoder * behind
        parts["attention"] += 4.0 * self.shape.inner * self.shape.layers * behind * prompt
        parts["output layer"] = self._output(behind, item=True)
        passes = cases / self.settings.search.batch_size * self.shape.layers * (1 + steps)
        return Phase(name, cases, prompt + steps, 0, {}, parts, passes=passes)

    def reinforcement(self, settings: ReinforcementSettings) -> Phase:
        """Return GRPO: rollouts by beam search, then policy and reference over prompts with all their proposals.

        Groups without advantages, which `zero_groups = "skip"` leaves out, are counted, so this is an upper bound.
        """
        training, steps = settings.training, self.facts.identifier
        cases = training.epochs * min(training.cases, self.facts.rows)
        prompt = self.tasks()[0].prompt
        tokens = prompt + training.group * steps
        policy = self._read(cases * training.updates, tokens)
        reference = self._read(cases, tokens) if training.beta else {}
        rollouts = self.search("rollouts", cases, training.group).searched
        batch = training.batch_size * training.gradient_accumulation_steps
        trained = times(TRAINED, policy)
        for name, value in reference.items():
            trained[name] += value
        return Phase(
            "reinforcement",
            cases,
            tokens,
            int(cases // batch) * training.updates,
            trained,
            rollouts,
            self._kept(training.batch_size, tokens, 0.0),
            (TRAINED + 2 + steps) * self.shape.layers * cases / training.batch_size,
        )

    def phases(self, evaluations: int, reinforcement: ReinforcementSettings | None) -> list[Phase]:
        """Return fine-tuning, reinforcement, validations, and the evaluations, which rank the cases so many times."""
        facts, training = self.facts, self.settings.training
        validated = float(training.epochs * training.evals_per_epoch * min(training.validation_users, facts.validation))
        phases = [self.training(), self.search("validation", validated, training.validation_num_beams)]
        systems = 1
        if reinforcement is not None:
            pace, systems = reinforcement.training, 2
            users = min(pace.validation_users, facts.validation)
            again = float((pace.epochs * pace.evals_per_epoch + 1) * users)
            phases += [self.reinforcement(reinforcement)]
            phases += [self.search("validation of it", again, pace.validation_num_beams)]
        cases = float(systems * evaluations * facts.test)
        return [*phases, self.search("evaluation", cases, self.settings.search.num_beams)]
