"""What a search found: a table, a figure, a page, and the settings that were best as an experiment file."""

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
from lexirec.workflows.tuning.space import current_names
from lexirec.workflows.tuning.trials import METRIC, Tuning

BEST = "best.toml"
_BARE = re.compile(r"[A-Za-z0-9_.-]+")


def rows(found: Tuning) -> list[dict[str, Any]]:
    """Return a row for each recommender: what was spent, the experiment's own value, the best one and its settings."""
    table = []
    for system, trials in found.trials.items():
        judged = [trial for trial in trials if trial.value is not None]
        best = found.best(system) if judged else None
        table.append(
            {
                "recommender": system,
                "trials": len(trials),
                "failed": len(trials) - len(judged),
                "minutes": round(sum(trial.seconds for trial in trials) / 60, 2),
                "first": trials[0].value if trials else None,
                "best": best.value if best else None,
                "trial": best.number + 1 if best else None,
                "settings": current_names(best.params, found.experiment) if best else {},
            }
        )
    return table


def write_tuning(found: Tuning, path: Path, sets: Sequence[str]) -> None:
    """Write `best.toml`, `report.md` and the figure, as things stand."""
    (found.folder / BEST).write_text(_best(found, path, sets), encoding="utf-8")
    (found.folder / "report.md").write_text(_page(found), encoding="utf-8")
    searches = [
        Spending(system, [trial.value for trial in trials], [trial.seconds / 60 for trial in trials])
        for system, trials in found.trials.items()
    ]
    save(budget_figure(searches, title=_title(found), metric=METRIC), found.folder, "budget")


def _title(found: Tuning) -> str:
    limit, unit = found.settings.budget
    return f"{found.experiment.name}: best so far, {limit:g} {unit} for each"


def _best(found: Tuning, path: Path, sets: Sequence[str]) -> str:
    """Return an experiment file that extends the tuned one."""
    base = os.path.relpath(path.resolve(), found.folder.resolve())
    table = rows(found)
    given = {name.strip(): _given(text) for name, _, text in (each.partition("=") for each in sets)}
    for taken in ("name", *(name for row in table for name in row["settings"])):
        given.pop(taken, None)
    lines = [f'extends = "{base}"', f'name = "{found.experiment.name}-tuned"']
    lines += [f"{_key(name)} = {text}" for name, text in given.items()]
    for row in table:
        if row["best"] is not None:
            lines.append(f"\n# {row['recommender']}: {METRIC} {row['best']:.4f} on validation, trial {row['trial']}")
            lines += [f"{_key(name)} = {as_toml(value)}" for name, value in row["settings"].items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else as_toml(name)


def _given(text: str) -> str:
    """Return an override's value as TOML: as it is, or as text where it is no TOML."""
    try:
        tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return as_toml(text.strip())
    return text.strip()


def _page(found: Tuning) -> str:
    limit, unit = found.settings.budget
    head = "| recommender | trials | failed | minutes | first | best | settings |\n|---|---:|---:|---:|---:|---:|---|"
    lines = [
        f"| {row['recommender']} | {row['trials']} | {row['failed']} | {row['minutes']:.1f} | "
        f"{figure(row['first'])} | {figure(row['best'])} | {told(row['settings'])} |"
        for row in rows(found)
    ]
    seen = found.settings.seen or found.experiment.evaluation.seen[0]
    users = found.settings.sample_users
    unseen = " whose newest event was not trained on" if found.settings.choose_on == "unseen" else ""
    cases = f"{f'{users:,}' if users else 'all'} validation cases{unseen}"
    return (
        f"# {found.experiment.name}: tuning with equal budgets\n\n"
        f"{limit:g} {unit} for each recommender, judged by {METRIC} of {cases}, seen items {seen}; test cases were not "
        "looked at. The first trial has the experiment's own settings. Minutes are those of work that no earlier trial "
        "had done.\n\n"
        f"{head}\n" + "\n".join(lines) + "\n\n![best so far beside the budget](budget.png)\n\n"
        f"`lexirec run {BEST}` measures the best settings on test.\n"
    )


def told(params: Mapping[str, Value]) -> str:
    """Write settings in one line, as `--set` takes them."""
    return ", ".join(f"`{name}={as_toml(value)}`" for name, value in params.items())


def figure(value: float | None) -> str:
    """Write a metric; a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"
