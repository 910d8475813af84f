"""Report of a hyperparameter search: table, figure, page, and the best settings as an experiment file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lexirec.core.config import as_toml
from lexirec.core.search_space import Value
from lexirec.reporting.cost_figures import Spending, budget_figure
from lexirec.reporting.style import save
from lexirec.workflows.tuning.settings import current_names
from lexirec.workflows.tuning.trials import METRIC, Tuning

BEST = "best.toml"
_BARE = re.compile(r"[A-Za-z0-9_.-]+")


def rows(tuning: Tuning) -> list[dict[str, Any]]:
    """Return a row per recommender: spent budget, metric with the own settings, best metric and its settings."""
    table = []
    for system, trials in tuning.trials.items():
        finished = [trial for trial in trials if trial.value is not None]
        best = tuning.best(system) if finished else None
        table.append(
            {
                "recommender": system,
                "trials": len(trials),
                "failed": len(trials) - len(finished),
                "minutes": round(sum(trial.seconds for trial in trials) / 60, 2),
                "first": trials[0].value if trials else None,
                "best": best.value if best else None,
                "trial": best.number + 1 if best else None,
                "settings": current_names(best.params, tuning.experiment) if best else {},
            }
        )
    return table


def write_tuning(tuning: Tuning, path: Path, sets: Sequence[str]) -> None:
    """Write `best.toml`, `report.md` and the figure of the search so far."""
    (tuning.folder / BEST).write_text(_best(tuning, path, sets), encoding="utf-8")
    (tuning.folder / "report.md").write_text(_page(tuning), encoding="utf-8")
    searches = [
        Spending(system, [trial.value for trial in trials], [trial.seconds / 60 for trial in trials])
        for system, trials in tuning.trials.items()
    ]
    save(budget_figure(searches, title=_title(tuning), metric=METRIC), tuning.folder, "budget")


def _title(tuning: Tuning) -> str:
    limit, unit = tuning.settings.budget
    return f"{tuning.experiment.name}: best so far, {limit:g} {unit} per recommender"


def _best(tuning: Tuning, path: Path, sets: Sequence[str]) -> str:
    """Return an experiment file that extends the tuned one with the best settings."""
    base = os.path.relpath(path.resolve(), tuning.folder.resolve())
    table = rows(tuning)
    overrides = {name.strip(): _as_toml(text) for name, _, text in (each.partition("=") for each in sets)}
    for taken in ("name", *(name for row in table for name in row["settings"])):
        overrides.pop(taken, None)
    lines = [f'extends = "{base}"', f'name = "{tuning.experiment.name}-tuned"']
    lines += [f"{_key(name)} = {text}" for name, text in overrides.items()]
    for row in table:
        if row["best"] is not None:
            lines.append(f"\n# {row['recommender']}: {METRIC} {row['best']:.4f} on validation, trial {row['trial']}")
            lines += [f"{_key(name)} = {as_toml(value)}" for name, value in row["settings"].items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else as_toml(name)


def _as_toml(text: str) -> str:
    """Return an override's value as TOML: unchanged, or quoted where it is not TOML."""
    try:
        tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return as_toml(text.strip())
    return text.strip()


def _page(tuning: Tuning) -> str:
    limit, unit = tuning.settings.budget
    head = "| recommender | trials | failed | minutes | first | best | settings |\n|---|---:|---:|---:|---:|---:|---|"
    lines = [
        f"| {row['recommender']} | {row['trials']} | {row['failed']} | {row['minutes']:.1f} | "
        f"{figure(row['first'])} | {figure(row['best'])} | {settings_text(row['settings'])} |"
        for row in rows(tuning)
    ]
    seen = tuning.settings.seen or tuning.experiment.evaluation.seen[0]
    users = tuning.settings.sample_users
    unseen = " whose newest history event is not in training" if tuning.settings.choose_on == "unseen" else ""
    cases = f"{f'{users:,}' if users else 'all'} validation cases{unseen}"
    return (
        f"# {tuning.experiment.name}: tuning with equal budgets\n\n"
        f"{limit:g} {unit} per recommender, selected by {METRIC} on {cases}, seen items {seen}; test cases are "
        "not used. The first trial has the experiment's own settings. Minutes exclude stages that earlier trials "
        "ran.\n\n"
        f"{head}\n" + "\n".join(lines) + "\n\n![best so far by budget](budget.png)\n\n"
        f"`lexirec run {BEST}` evaluates the best settings on test.\n"
    )


def settings_text(params: Mapping[str, Value]) -> str:
    """Format settings in one line, as `--set` takes them."""
    return ", ".join(f"`{name}={as_toml(value)}`" for name, value in params.items())


def figure(value: float | None) -> str:
    """Format a metric; a dash for None."""
    return "–" if value is None else f"{value:.4f}"
