"""Planned costs against counts that are known: of the papers, of PyTorch's counter, of the settings."""

import numpy as np
import pytest

from lexirec.core.errors import SettingsError
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.pipeline.stages.data import load_split
from lexirec.workflows.costs.devices import DEVICES, Device
from lexirec.workflows.costs.facts import Meter, facts_of
from lexirec.workflows.costs.plan import plan_cost
from lexirec.workflows.studies.cost import Costs, CostSettings

TOY = ["baselines={}", "data.products=84", "data.shoppers=40", "model.training.epochs=1"]
PAPER = ["model.network.likelihood=vocabulary", "model.network.head=vocabulary"]
GRAM = [*TOY, *PAPER, "model.network.user_prompt=identifiers", "model.prompts.layout=paper"]
CAUSAL = [*TOY, *PAPER, "model.network.embeddings=tokens", "model.prompts.frame=alpaca", "codes.branching=8"]


def shares(plan):
    return {name: share for phase in plan.phases[:1] for name, share in phase.shares.items()}


@pytest.mark.parametrize(("file", "sets"), [("toy-gram", GRAM), ("tsrec", CAUSAL)])
def test_every_part_of_the_network_has_its_share(file, sets, tmp_path):
    plan = plan_cost(load_experiment(f"lexirec:{file}.toml", sets), Store(tmp_path))
    assert [phase.name for phase in plan.phases] == ["training", "validation", "evaluation"]
    assert sum(shares(plan).values()) == pytest.approx(1)
    assert ("encoder" in shares(plan)) == (file == "toy-gram")
    assert not list(tmp_path.iterdir()), "planning stores nothing"


def test_the_rows_are_those_of_the_data(tmp_path):
    experiment, store = load_experiment("lexirec:toy-gram.toml", GRAM), Store(tmp_path)
    facts = facts_of(experiment, store)
    run_experiment(experiment, store, until="data")
    split = load_split(plan_experiment(experiment, store)[0].folder)
    assert facts.rows == int((split.train.lengths - 1).clip(min=0).sum())
    assert (facts.n_items, facts.test) == (84, len(split.test))
    lengths = [min(place, 5) for row in split.train.lengths for place in range(1, row)]
    assert facts.mean_history(5) == pytest.approx(np.mean(lengths))


def test_more_epochs_cost_more_and_frozen_weights_need_less_memory(tmp_path):
    def planned(*more):
        return plan_cost(load_experiment("lexirec:tsrec.toml", [*CAUSAL, *more]), Store(tmp_path))

    once, twice = planned(), planned("model.training.epochs=2")
    assert twice.phases[0].operations == pytest.approx(2 * once.phases[0].operations)
    lora = planned("model.training.trainable=lora")
    assert lora.trained < once.trained
    assert lora.memory.optimiser < once.memory.optimiser
    assert lora.memory.weights == once.memory.weights


def test_tasks_without_weight_cost_nothing(tmp_path):
    def operations(*more):
        return plan_cost(load_experiment("lexirec:tsrec.toml", [*CAUSAL, *more]), Store(tmp_path)).phases[0].operations

    base = operations("model.tasks.ts_align=0")
    assert operations() > base
    assert operations("model.tasks.ts_align=0", "model.tasks.history_title=1") > 1.5 * base


def test_packing_prefixes_is_cheaper_than_a_row_for_each(tmp_path):
    def operations(packed):
        sets = [*GRAM, f"model.training.packed={packed}", "model.training.batch_targets=32"]
        return plan_cost(load_experiment("lexirec:toy-gram.toml", sets), Store(tmp_path)).phases[0].operations

    assert operations("true") < operations("false")


def test_small_steps_take_the_time_of_starting_them(tmp_path):
    phase = plan_cost(load_experiment("lexirec:toy-gram.toml", GRAM), Store(tmp_path)).phases[0]
    assert phase.seconds(Device("fast", "fast", 1e30, 1.0), 64) == pytest.approx(phase.steps * 3 * 4 * 7e-4)


def test_reinforcement_is_a_phase_of_its_own_with_a_reference_in_memory(tmp_path):
    rl = [*CAUSAL, "reinforcement.training.cases=50", "reinforcement.training.epochs=1"]
    plan = plan_cost(load_experiment("lexirec:tsrec.toml", rl), Store(tmp_path))
    without = plan_cost(load_experiment("lexirec:tsrec.toml", CAUSAL), Store(tmp_path))
    phase = next(phase for phase in plan.phases if phase.name == "reinforcement")
    assert phase.examples == 50
    assert sum(phase.searched.values()) > 0
    assert plan.memory.weights > without.memory.weights


def test_whether_training_fits_depends_on_the_memory(tmp_path):
    plan = plan_cost(load_experiment("lexirec:toy-gram.toml", GRAM), Store(tmp_path))
    assert plan.fits(DEVICES["rtx4090"])
    assert not plan.fits(Device("small", "small", 1e12, plan.memory.total))
    told = plan.as_json([DEVICES["a100"]])
    assert told["devices"][0]["seconds"]["training"] == plan.phases[0].seconds(DEVICES["a100"], plan.shape.width)


def test_letters_are_counted_where_there_is_no_tokenizer(tmp_path):
    meter = Meter(load_experiment("lexirec:toy-gram.toml", GRAM), Store(tmp_path))
    assert meter.mean(["seven l", "ten lettrs"]) == pytest.approx(8.5 / meter.letters)
    assert "letters a token" in meter.note


def test_an_experiment_of_baselines_has_no_cost(tmp_path):
    with pytest.raises(SettingsError, match="has no \\[model\\], so there is no cost to plan"):
        plan_cost(load_experiment("lexirec:baselines.toml"), Store(tmp_path))


@pytest.mark.long
@pytest.mark.parametrize(("file", "sets"), [("toy-gram", GRAM), ("tsrec", CAUSAL)])
def test_planned_operations_are_about_those_that_are_counted(file, sets, tmp_path):
    experiment, store = (
        load_experiment(f"lexirec:{file}.toml", [*sets, "backbone.vocabulary_size=400"]),
        Store(tmp_path),
    )
    with quiet():
        run_experiment(experiment, store, until="model")
    phase = plan_cost(experiment, store).phases[0]
    folders = {stage.name: str(stage.folder) for stage in plan_experiment(experiment, store)}
    measured = Costs(folders["model"], folders["data"], CostSettings(steps=4).model_dump()).training()
    assert phase.operations / phase.steps / measured["operations_per_step"] == pytest.approx(1, abs=0.35)


def test_an_encoder_in_front_is_said_not_to_be_counted(tmp_path):
    chosen = [*GRAM, "backbone.encoder.name=sentence-transformers/all-MiniLM-L6-v2"]
    plan = plan_cost(load_experiment("lexirec:toy-gram.toml", chosen), Store(tmp_path))
    without = plan_cost(load_experiment("lexirec:toy-gram.toml", GRAM), Store(tmp_path))
    assert sum("all-MiniLM-L6-v2' is not counted" in note for note in plan.notes) == 1
    assert not any("the encoder" in note for note in without.notes)
