"""All checks by name, with the question each answers, and the walk through them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from lexirec.core.errors import LexirecError
from lexirec.core.progress import Progress
from lexirec.workflows.audit import held_out, items, prompts, protocol, side_information, time_order
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Audit, Finding, NotLookedError, ordered


class Check(NamedTuple):
    """One check: its name, the question it answers, and the function that answers it."""

    name: str
    asks: str
    look: Callable[[Evidence], Iterable[Finding]]


CHECKS: tuple[Check, ...] = (
    Check("held-out-in-training", "do training rows hold held-out events?", held_out.held_out_in_training),
    Check("answer-in-history", "do histories hold the answer, or what came later?", held_out.histories_hold_the_answer),
    Check("duplicates", "do events stand in the data twice, across the split?", held_out.duplicates_across_splits),
    Check("copied-cases", "do test cases stand in training word for word?", held_out.copied_cases),
    Check("folds", "is anything chosen on the test fold?", held_out.folds_overlap),
    Check("own-future", "does training hold what a test user took later?", time_order.own_future),
    Check("everybodys-future", "are training events later than test events?", time_order.everybodys_future),
    Check("ties-in-time", "does time decide which event is asked for?", time_order.ties_in_time),
    Check("training-windows", "do training windows hold only training successions?", prompts.rows_hold_the_held_out),
    Check("training-prompts", "do training questions hold answers?", prompts.questions_hold_answers),
    Check("neighbors", "do neighbours know held-out interactions?", side_information.neighbors_know),
    Check("vectors", "do vectors know held-out interactions?", side_information.vectors_know),
    Check("identifiers", "do identifiers know held-out interactions?", side_information.identifiers_know),
    Check("texts", "do texts know held-out interactions, or sales to come?", side_information.texts_know),
    Check("baselines", "were baselines fitted on the training part alone?", side_information.scorers_know),
    Check("shared-identifiers", "do items share identifiers?", items.shared_identifiers),
    Check("twins", "are there near-duplicate items?", items.twins),
    Check("never-trained", "what of the test part is new to training?", items.never_trained),
    Check("filter", "was the data filtered by looking ahead?", items.filter_on_everything),
    Check("ties-in-scores", "what are ties between items worth?", items.ties_between_items),
    Check("repeated-targets", "do targets stand in their own history?", protocol.repeated_targets),
    Check("cut-histories", "are histories cut?", protocol.cut_histories),
    Check("candidates", "is the whole catalogue ranked, for all cases?", protocol.candidates),
    Check("beams", "are beams wide enough and without favour?", protocol.beams),
    Check("generation-defaults", "do checkpoints bring defaults that bend decoding?", protocol.generation_defaults),
    Check("sample-size", "which differences can this test set show?", protocol.small_differences),
    Check("seeds", "do figures rest on one seed?", protocol.seeds),
)


def examine(evidence: Evidence, checks: Iterable[Check] = CHECKS) -> Audit:
    """Make checks one after another; what cannot be looked at is said, not passed over."""
    started, chosen = time.monotonic(), tuple(checks)
    findings: list[Finding] = []
    asked, without = {}, {f"stage {name}": why for name, why in evidence.missing.items()}
    with Progress("auditing", total=len(chosen)) as progress:
        for check in chosen:
            progress.update(check.name)
            try:
                if not len(evidence.split.test):
                    raise NotLookedError("there are no test cases")
                for each in check.look(evidence):
                    findings.append(replace(each, check=check.name))  # kept, should a later one not be to be had
                asked[check.name] = check.asks
            except (NotLookedError, LexirecError) as error:
                without[check.name] = str(error)
            progress.advance()
    seconds = round(time.monotonic() - started, 1)
    return Audit(evidence.experiment.name, ordered(findings), asked, without, seconds)
