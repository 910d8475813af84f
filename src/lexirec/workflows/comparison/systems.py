"""Resolve system names such as `gram=beauty:model@0,1,2` to stored evaluations, and compare them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lexirec.core.config_errors import shown
from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.runs import OWN, RunRecord, evaluations, find_run, run_seeds
from lexirec.core.store import Store
from lexirec.evaluation.evaluator import Report
from lexirec.models.loading import chosen
from lexirec.pipeline.results import settings_behind, with_seeds
from lexirec.pipeline.stages.report import stored_reports
from lexirec.workflows.comparison.comparability import Systems
from lexirec.workflows.comparison.compare import Comparison, compare_systems

_MEMBER = re.compile(r"(?P<name>[^:@,=]+)(?::(?P<recommender>[^:@,=]+))?(?:@(?P<seed>\d+|all))?")
ALL = "all"
"""In place of a seed: every finished seed of the experiment."""


@dataclass(frozen=True)
class Member:
    """One evaluated recommender of one run.

    Attributes:
        name: the experiment.
        recommender: name of the recommender; None for the model or the best baseline.
        seed: seed of the run; None for the newest run.
    """

    name: str
    recommender: str | None = None
    seed: int | None = None

    def __str__(self) -> str:
        """Return the member in the notation of the command line."""
        recommender = "" if self.recommender is None else f":{self.recommender}"
        return f"{self.name}{recommender}{'' if self.seed is None else f'@{self.seed}'}"


def compare_named(
    store: Store,
    names: Sequence[str],
    *,
    baseline: str | None = None,
    metric: str = "ndcg@10",
    of: str | None = None,
    seen: str | None = None,
) -> Comparison:
    """Compare stored evaluations by their names.

    Args:
        store: where the experiments are.
        names: `[LABEL=]NAME[:RECOMMENDER][@SEED]`; several separated by commas are the seeds of one system, of
            which later ones may be just the seed: `beauty@0,1,2`, `beauty@all`. A single bare name means all
            recommenders of the experiment.
        baseline: label or name (as in `names`) of the baseline; by default the first, and the best baseline where one
            experiment's recommenders are compared.
        metric: such as `ndcg@10`.
        of: default recommender of names without one.
        seen: `excluded` or `included`; by default the headline of the first experiment.

    Raises:
        ArtifactError: a run has not finished, an evaluation is missing, or protocols differ.
        SettingsError: a name, the baseline or the metric is invalid, or the members of a system differ in more than
            seeds.
    """
    systems, labels = stored_systems(store, names, of=of, seen=seen)
    against = labels.get(baseline, baseline) if baseline else usual_baseline(store, names, systems, metric)
    return compare_systems(systems, baseline=against, metric=metric)


def usual_baseline(store: Store, names: Sequence[str], systems: Systems, metric: str) -> str | None:
    """Return the default baseline: the best baseline of a single experiment; None (the first system) otherwise."""
    if len(names) > 1 or len(systems) < 2:
        return None
    settings = find_run(store, names[0]).settings
    return _best_baseline(systems, metric, *(settings.get(name, {}) for name in ("experts", "fusion")))


def stored_systems(
    store: Store, names: Sequence[str], *, of: str | None = None, seen: str | None = None, lists: bool = False
) -> tuple[Systems, dict[str, str]]:
    """Return label -> reports, and name -> label; arguments as of `compare_named`.

    With `lists` the reports include their kept lists.
    """
    if len(names) == 1 and of is None and re.fullmatch(r"[^:@,=]+", names[0]):
        names = [f"{name}={names[0]}:{name}" for name in evaluations(find_run(store, names[0]))]
    systems: dict[str, list[Report]] = {}
    labels: dict[str, str] = {}
    for name in names:
        label, members = read_name(store, name)
        stored = [_stored(store, member, of, seen, lists) for member in members]
        label = label or f"{members[0].name}: {stored[0][0]}"
        if label in systems:
            raise SettingsError(f"'{label}' is given twice; label the systems as LABEL={name.rpartition('=')[2]}")
        _check_seeds(store, name, members, of)
        systems[label], labels[name] = [report for _, report in stored], label
        seen = seen or ("excluded" if stored[0][1].protocol["exclude_seen"] else "included")
    return systems, labels


def read_name(store: Store, given: str) -> tuple[str | None, list[Member]]:
    """Parse a name such as `gram=beauty:model@0,1,2` into its label, if any, and its members.

    Raises:
        SettingsError: the name is invalid.
        ArtifactError: it names all seeds of an experiment that has not finished.
    """
    label, equals, rest = given.rpartition("=")
    members: list[Member] = []
    for part in rest.split(","):
        if part.isdecimal() and members and members[-1].seed is not None:
            members.append(Member(members[-1].name, members[-1].recommender, int(part)))
            continue
        match = _MEMBER.fullmatch(part)
        if match is None or (equals and not label):
            raise SettingsError(
                f"'{given}': must have the form [LABEL=]NAME[:RECOMMENDER][@SEED,SEED…], such as "
                "gram=beauty:model@0,1,2"
            )
        members.extend(_members(store, match["name"], match["recommender"], match["seed"]))
    twice = next((member for member in members if members.count(member) > 1), None)
    if twice is not None:
        raise SettingsError(f"'{given}' names {twice} twice; name each seed once")
    return label or None, members


def _members(store: Store, name: str, recommender: str | None, seed: str | None) -> Iterator[Member]:
    if seed != ALL:
        yield Member(name, recommender, None if seed is None else int(seed))
        return
    find_run(store, name)
    for each in run_seeds(store, name):
        yield Member(name, recommender, each)


def _stored(store: Store, member: Member, of: str | None, seen: str | None, lists: bool) -> tuple[str, Report]:
    """Return the recommender's name and its report."""
    run = find_run(store, member.name, member.seed)
    recommender = chosen(run, member.recommender or of)
    reports = stored_reports(evaluations(run)[recommender], lists=lists)
    seen = seen or _headline(run, reports)
    if seen not in reports:
        raise ArtifactError(
            f"{member.name}: {recommender} was evaluated with seen items {' and '.join(reports)}, not {seen}; "
            f'run it again with --set evaluation.seen=["excluded", "included"]'
        )
    return recommender, with_seeds(reports[seen], run.stages, run.variants("evaluation")[recommender])


def _check_seeds(store: Store, given: str, members: Sequence[Member], of: str | None) -> None:
    """Check that members differ in seeds only; else their spread would mix in the effect of settings."""
    first, *others = [(member, _behind(store, member, of)) for member in members]
    for member, settings in others:
        names = sorted(first[1].keys() & settings.keys())
        other = next((name for name in names if first[1][name] != settings[name]), None)
        if other is not None:
            raise SettingsError(
                f"'{given}': {first[0]} and {member} differ in more than the seed: {other} is "
                f"{shown(first[1][other])} and {shown(settings[other])}; give each variant its own name "
                "(--set name=…)"
            )


def _behind(store: Store, member: Member, of: str | None) -> dict[str, Any]:
    run = find_run(store, member.name, member.seed)
    return settings_behind(run, run.variants("evaluation")[chosen(run, member.recommender or of)])


def _headline(run: RunRecord, reports: dict[str, Report]) -> str:
    wanted: str = run.settings.get("evaluation", {}).get("seen", [""])[0]
    return wanted if wanted in reports else next(iter(reports))


def _best_baseline(systems: Systems, metric: str, *others: Iterable[str]) -> str | None:
    """Return the best of an experiment's baselines; None where it has none."""
    known = {*OWN, *chain(*others)}
    values = {name: reports[0].metrics.get(metric, 0.0) for name, reports in systems.items() if name not in known}
    return max(values, key=values.__getitem__, default=None)
