"""Compare `lexirec plan --cost` with what training on this machine takes: operations and seconds of a step.

    python benchmarks/cost_plan.py

Trains two small models from scratch for an epoch on the toy shop, one of each family, then times some of its steps and
counts their operations. Prints planned over measured: 1 is exact, above 1 the plan promises more than is needed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.workflows.costs.devices import this_machine
from lexirec.workflows.costs.plan import plan_cost
from lexirec.workflows.studies.cost import Costs, CostSettings

COMMON = ["baselines={}", "data.products=120", "data.shoppers=60", "model.training.epochs=1"]
PAPERS = ["model.network.likelihood=vocabulary", "model.network.head=vocabulary"]
FAMILIES = {
    "GRAM": [
        "lexirec:toy-gram.toml",
        *PAPERS,
        "model.network.user_prompt=identifiers",
        "model.prompts.layout=paper",
        "model.training.batch_targets=32",
        "model.training.validation_users=20",
        "backbone.d_model=192",
        "backbone.layers=2",
        "backbone.heads=4",
        "backbone.feed_forward=768",
    ],
    "TS-Rec": [
        "lexirec:tsrec.toml",
        *PAPERS,
        "model.network.embeddings=tokens",
        "model.prompts.frame=alpaca",
        "model.tasks.sid_title=1",
        "model.tasks.history_title=1",
        "model.training.batch_size=16",
        "model.training.validation_users=20",
        "codes.branching=16",
        "backbone.name=scratch:small",
    ],
}


def compare(family: str, steps: int) -> tuple[float, float]:
    """Return planned over measured of a family: operations and seconds of a training step."""
    file, *sets = FAMILIES[family]
    experiment = load_experiment(file, [*COMMON, *sets])
    with tempfile.TemporaryDirectory() as folder, quiet():
        store = Store(Path(folder))
        run_experiment(experiment, store, until="model")
        plan = plan_cost(experiment, store)
        folders = {stage.name: str(stage.folder) for stage in plan_experiment(experiment, store)}
        measured = Costs(folders["model"], folders["data"], CostSettings(steps=steps).model_dump()).training()
    phase = plan.phases[0]
    here = this_machine(plan.shape.width)
    planned = phase.operations / phase.steps, phase.seconds(here, plan.shape.width) / phase.steps
    return planned[0] / measured["operations_per_step"], planned[1] / measured["seconds_per_step"]


def main() -> None:
    """Print the ratios of both families."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8, help="timed steps")
    steps = parser.parse_args().steps
    for family in FAMILIES:
        operations, seconds = compare(family, steps)
        print(f"{family}: planned / measured: operations {operations:.2f}, seconds {seconds:.2f}", flush=True)


if __name__ == "__main__":
    main()
