"""Registry of the audit's checks, with the question of each, and the function that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from lexirec.core.errors import LexirecError
from lexirec.core.progress import Progress
from lexirec.workflows.audit import (
    held_out,
    items,
    memorised_targets,
    prompts,
    protocol,
    sample_size,
    shortcuts,
    side_information,
    time_order,
)
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Audit, Finding, NotLookedError, ordered


class Check(NamedTuple):
    """One check: its name, the question it answers, and the function that answers it."""

    name: str
    asks: str
    look: Callable[[Evidence], Iterable[Finding]]


CHECKS: tuple[Check, ...] = (
    Check("held-out-in-training", "do training rows hold held-out events?", held_out.held_out_in_training),
    Check("answer-in-history", "do histories hold the target, or later events?", held_out.histories_hold_the_answer),
    Check("duplicates", "are events duplicated across the split?", held_out.duplicates_across_splits),
    Check("copied-cases", "do training rows repeat test cases?", held_out.copied_cases),
    Check("folds", "is anything selected on the test fold?", held_out.folds_overlap),
    Check("own-future", "does training hold later events of test users?", time_order.own_future),
    Check("everybodys-future", "are training events later than test events?", time_order.everybodys_future),
    Check("ties-in-time", "do ties in time decide which event is the target?", time_order.ties_in_time),
    Check("training-windows", "do training windows hold only training successions?", prompts.rows_hold_the_held_out),
    Check("training-prompts", "do training prompts hold their targets?", prompts.questions_hold_answers),
    Check("neighbors", "do neighbours leak held-out interactions?", side_information.neighbors_know),
    Check("vectors", "do vectors leak held-out interactions?", side_information.vectors_know),
    Check("identifiers", "do identifiers leak held-out interactions?", side_information.identifiers_know),
    Check("texts", "do texts leak held-out interactions or later sales?", side_information.texts_know),
    Check("baselines", "were baselines fitted on the training part alone?", side_information.scorers_know),
    Check("memorised-targets", "was a recommender trained on held-out targets?", memorised_targets.memorised_targets),
    Check("shared-identifiers", "do items share identifiers?", items.shared_identifiers),
    Check("twins", "are there near-duplicate items?", items.twins),
    Check("never-trained", "which test targets and users are not in training?", items.never_trained),
    Check("filter", "does a filter count held-out events?", items.filter_on_everything),
    Check("ties-in-scores", "how much do ties between scores matter?", items.ties_between_items),
    Check("repeated-targets", "do targets repeat items of their history?", protocol.repeated_targets),
    Check("cut-histories", "are histories truncated?", protocol.cut_histories),
    Check("candidates", "is the whole catalogue ranked, for all cases?", protocol.candidates),
    Check("beams", "are beams wide enough, and unbiased by length?", protocol.beams),
    Check("generation-defaults", "do checkpoints set generation defaults?", protocol.generation_defaults),
    Check("sample-size", "which differences can this test set detect?", sample_size.small_differences),
    Check("shortcuts", "can counting solve these data?", shortcuts.shortcut_findings),
    Check("seeds", "do figures rest on fewer than three seeds?", sample_size.seeds),
)


def examine(evidence: Evidence, checks: Iterable[Check] = CHECKS) -> Audit:
    """Run the checks; those that cannot run are reported with the reason."""
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
                    findings.append(replace(each, check=check.name))  # kept if a later one fails
                asked[check.name] = check.asks
            except (NotLookedError, LexirecError) as error:
                without[check.name] = str(error)
            progress.advance()
    seconds = round(time.monotonic() - started, 1)
    measured = vars(evidence).get("shortcuts")  # where the check ran
    return Audit(evidence.experiment.name, ordered(findings), asked, without, seconds, shortcuts=measured)
