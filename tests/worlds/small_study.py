"""A study that takes seconds: one baseline on a small toy shop, varied in two ways."""

from pathlib import Path

from lexirec.workflows.studies.design import Study, load_study

EXPERIMENT = """
name = "small"
[data]
kind = "toy-shop"
products = 100
shoppers = 150
[vectors.text]
dimensions = 8
[codes]
branching = 4
levels = 3
[neighbors]
kind = "co-occurrence"
k = 6
[baselines.popularity]
kind = "popularity"
[baselines.memory]
kind = "memory"
[evaluation]
ks = [5, 10]
seen = ["excluded", "included"]
"""
STUDY = """
about = "Does the window matter?"
base = "small.toml"
seeds = [0, 1]
recommender = "memory"
baselines = ["popularity"]
[axes.window]
setting = "baselines.memory.window"
values = [5, 2, 9]
[axes.evidence.variants]
"with text" = []
"without text" = ["baselines.memory.evidence=none"]
"""


def write_study(folder: Path, study: str = STUDY, experiment: str = EXPERIMENT) -> Path:
    (folder / "small.toml").write_text(experiment, encoding="utf-8")
    (folder / "windows.toml").write_text(study, encoding="utf-8")
    return folder / "windows.toml"


def small_study(folder: Path, *overrides: str) -> Study:
    return load_study(write_study(folder), overrides)
