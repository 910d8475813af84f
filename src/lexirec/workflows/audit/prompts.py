"""Audit checks of training inputs: windows with held-out successions, and prompts that contain their targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, prefix_cases
from lexirec.models.gram.settings import GramSettings
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Finding, NotLookedError, percent
from lexirec.workflows.audit.held_out import fingerprints

if TYPE_CHECKING:
    from lexirec.models.tsrec.examples import Examples
    from lexirec.nn.ragged import Ragged

_MOST_ROWS = 20_000
_MANY, _SOME = 0.5, 0.05


def questions_hold_answers(evidence: Evidence) -> Iterator[Finding]:
    """Build the training prompts as the model does, and look for their targets in them.

    Targets that occur in the history (repeats) do not count.
    """
    for task, examples in training_examples(evidence):
        yield from answers_in_questions(evidence, task, examples)
        yield from held_out_asked(evidence, task, examples)


def training_examples(evidence: Evidence) -> Iterator[tuple[str, Examples]]:
    """Build the training examples of the experiment's model, task by task, of up to 20,000 rows each.

    Raises:
        NotLookedError: there is no generative model, or its inputs are absent.
    """
    model = evidence.experiment.model
    if model is None:
        raise NotLookedError("there is no generative model")
    tokenizer, identifiers = evidence.need("tokenizer"), evidence.need("identifiers")
    if isinstance(model, TSRecSettings):
        yield from _causal_examples(evidence, model, _with_tokens(tokenizer, identifiers))
    elif isinstance(model, GramSettings) and model.network.user_prompt == "identifiers":
        yield "user prompt", _late_fusion_examples(evidence, model, _with_tokens(tokenizer, identifiers))
    else:
        raise NotLookedError("the model reads items, not tokens of identifiers; the check training-windows covers it")


def _with_tokens(tokenizer: Any, identifiers: Any) -> tuple[Any, Any]:
    from copy import deepcopy

    own = deepcopy(tokenizer)  # the tokenizer is shared: add tokens to a copy
    own.add_tokens(identifiers.new_pieces(own))
    return own, identifiers.in_vocabulary(own)


def _causal_examples(
    evidence: Evidence, model: TSRecSettings, named: tuple[Any, Any]
) -> Iterator[tuple[str, Examples]]:
    from lexirec.models.tsrec.mixture import TaskTexts, make_examples
    from lexirec.models.tsrec.prompts import PromptBuilder

    builder = PromptBuilder(named[0], named[1].tokens, model.prompts)
    texts = TaskTexts.of(evidence.catalog, evidence.words)
    wanted = model.tasks.model_dump(exclude={"title_tokens", "description_tokens", "preference"})
    if wanted["ts_align"] is None:
        wanted["ts_align"] = float(bool(evidence.words))
    train = _some_rows(evidence.split.train)
    for task, weight in wanted.items():
        if not weight or (task == "ts_align" and not evidence.words):
            continue
        alone = dict.fromkeys(wanted, 0.0) | {task: 1.0}
        yield task, make_examples(builder, train, texts, model.tasks.model_copy(update=alone | {"preference": 0.0}))


def _late_fusion_examples(evidence: Evidence, model: GramSettings, named: tuple[Any, Any]) -> Examples:
    import torch

    from lexirec.models.gram.user_prompts import UserPrompts
    from lexirec.models.tsrec.examples import Examples
    from lexirec.models.tsrec.prompts import take_rows
    from lexirec.nn.ragged import Ragged

    cases = prefix_cases(_some_rows(evidence.split.train), model.network.max_history)
    builder = UserPrompts(named[1].tokens, named[0], model.prompts)
    newest = torch.from_numpy(cases.histories.padded(model.network.max_history, newest_first=True)).long()
    ids, mask = builder(newest)
    prompts = Ragged.from_padded(ids.masked_fill(~mask, -1))
    spelled = Ragged.from_padded(torch.from_numpy(np.ascontiguousarray(named[1].tokens)))
    items = torch.from_numpy(cases.targets.astype(np.int64))
    return Examples(prompts, take_rows(spelled, cases.targets), items, cases.histories, "user prompt")


def _some_rows(train: Sequences) -> Sequences:
    """Return the first training rows, up to about 20,000 cases."""
    keep = int(np.searchsorted(np.cumsum(np.maximum(train.lengths - 1, 0)), _MOST_ROWS)) + 1
    return train if keep >= len(train) else train.take(np.arange(keep))


def answers_in_questions(evidence: Evidence, task: str, examples: Examples) -> Iterator[Finding]:
    """Find prompts that contain their own target, token by token."""
    contained = spelled_in(examples.prompts, examples.targets)
    items = examples.items.numpy()
    rows = np.repeat(np.arange(len(examples)), examples.histories.lengths)
    named = np.zeros(len(examples), dtype=bool)
    named[rows[examples.histories.items == items[rows]]] = True
    fair = ~named
    share = float(contained[fair].mean()) if fair.any() else 0.0
    if share >= _SOME:
        hit = np.flatnonzero(contained & fair)
        yield Finding(
            "leak" if share >= _MANY else "distortion",
            f"the prompts of the task '{task}' contain their own targets in {len(hit):,} of {int(fair.sum()):,} rows "
            f"({percent(share)})",
            "down: copying solves the task; in reinforcement it earns the reward",
            "remove the target from the prompt",
            None,
            evidence.item_names(items[hit][items[hit] >= 0]),
        )


def held_out_asked(evidence: Evidence, task: str, examples: Examples) -> Iterator[Finding]:
    """Find training prompts whose history and target are a held-out case and no training case."""
    items = examples.items.numpy()
    asks = (items >= 0) & (examples.histories.lengths >= 2)
    rows = np.flatnonzero(asks)
    cap = int(examples.histories.lengths.max(initial=1))
    trained = prefix_cases(evidence.split.train, cap)
    asked = fingerprints(examples.histories.take(rows), items[rows].astype(np.int32))
    for cases in (evidence.split.test, evidence.split.validation):
        cut = cases.histories.last(cap)
        held = np.setdiff1d(fingerprints(cut, cases.targets), fingerprints(trained.histories, trained.targets))
        hit = rows[np.isin(asked, held)]
        if len(hit):
            yield Finding(
                "leak",
                f"{len(hit):,} training prompts of the task '{task}' have held-out targets after their histories",
                f"up: {len(np.unique(asked[np.isin(asked, held)])):,} of {len(cases):,} cases were trained on",
                "build examples from training rows alone",
                None,
                evidence.item_names(items[hit]),
            )


def spelled_in(prompts: Ragged, answers: Ragged) -> NDArray[np.bool_]:
    """Whether each row's prompt contains its answer as a contiguous run of tokens: bool (rows,).

    Starts from the positions of the answer's first token and filters them token by token. Empty answers do not count.
    """
    values, offsets = prompts.values.numpy(), prompts.offsets.numpy()
    words, starts = answers.values.numpy(), answers.offsets.numpy()
    lengths = np.diff(starts)
    row = np.repeat(np.arange(len(lengths)), np.diff(offsets))
    place = np.flatnonzero(lengths[row] > 0)
    place = place[values[place] == words[starts[row[place]]]]
    found = np.zeros(len(lengths), dtype=bool)
    step = 1
    while len(place):
        whole = lengths[row[place]] == step
        found[row[place[whole]]] = True
        place = place[~whole]
        place = place[place + step < offsets[row[place] + 1]]
        place = place[values[place + step] == words[starts[row[place]] + step]]
        step += 1
    return found


def rows_hold_the_held_out(evidence: Evidence) -> Iterator[Finding]:
    """Check that every succession in the training windows of a GRAM model occurs in the training rows."""
    model = evidence.experiment.model
    if not isinstance(model, GramSettings):
        return
    from lexirec.models.gram.training import packed_windows

    rows = packed_windows(evidence.split.train, model.network.max_history).rows
    learned, trained = _successions(rows, evidence.n_items), _successions(evidence.split.train, evidence.n_items)
    strange = np.setdiff1d(learned, trained)
    if len(strange):
        asked = _of_cases(evidence.split.test, evidence.n_items)
        yield Finding(
            "leak",
            f"the model's training windows hold {len(strange):,} successions absent from the training rows, "
            f"{len(np.intersect1d(strange, asked)):,} of them test successions",
            "up: the model trains on targets",
            "build windows from training rows alone",
            None,
            evidence.pair_names(strange // evidence.n_items, strange % evidence.n_items),
        )


def _successions(rows: Sequences, n_items: int) -> NDArray[np.int64]:
    row = np.repeat(np.arange(len(rows)), rows.lengths)
    inside = row[1:] == row[:-1]
    return np.unique((rows.items[:-1].astype(np.int64) * n_items + rows.items[1:])[inside])


def _of_cases(cases: Cases, n_items: int) -> NDArray[np.int64]:
    nonempty = np.flatnonzero(cases.histories.lengths)
    last = cases.histories.items[cases.histories.offsets[1:][nonempty] - 1].astype(np.int64)
    return np.unique(last * n_items + cases.targets[nonempty])
