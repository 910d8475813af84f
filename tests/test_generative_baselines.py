"""The generative baselines are experiment files made of our own parts; each says what its paper does."""

from pathlib import Path

import pytest

from lexirec.core.errors import DataError
from lexirec.core.progress import quiet
from lexirec.core.runs import RunRecord
from lexirec.core.store import Store
from lexirec.evaluation.evaluator import Report
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.semantic_ids.identifiers.identifiers import Identifiers

FOLDER = Path(__file__).resolve().parents[1] / "experiments" / "baselines-generative"
RECIPES = ("tiger", "letter", "lc-rec", "idgenrec", "p5-cid", "p5-semid")
BASELINES = {"popularity", "recency", "transitions", "memory", "item-knn", "ease", "sasrec", "sasrec-dot"}
SMALL = {
    "data.products": 84,
    "data.shoppers": 60,
    "baselines": "{}",
    "model.training.epochs": 1,
    "model.search.num_beams": 10,
    "backbone.d_model": 16,
    "backbone.layers": 1,
    "backbone.feed_forward": 16,
    "backbone.vocabulary_size": 400,
    "evaluation": "{ks = [5]}",
}


def small(recipe: str, store: Store) -> RunRecord:
    """Run a recipe on a tiny shop, for a moment."""
    chosen = load_experiment(FOLDER / f"{recipe}.toml")
    values = dict(SMALL)
    if hasattr(chosen.codes, "training"):
        values |= {"codes.training.epochs": 2, "codes.training.evaluate_every": 1, "codes.branching": 24}
    if recipe == "lc-rec":
        values |= {"pretraining.epochs": 1, "backbone.heads": 2}
    overrides = [f"{name}={value}" for name, value in values.items()]
    with quiet():
        done = run_experiment(load_experiment(FOLDER / f"{recipe}.toml", overrides), store)
    assert done is not None
    return done


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.mark.long
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_runs_to_its_report(store, recipe):
    done = small(recipe, store)
    report = Report.load(done.stage("evaluation.model").folder / "included")
    assert report.invalid == 0
    assert set(report.metrics) == {"recall@5", "ndcg@5", "mrr@5"}
    spelled = Identifiers.load(done.stage("identifiers").folder)
    assert len({tuple(spelled.spelled(item)) for item in range(84)}) == 84
    assert (done.stage("report").folder / "report.md").is_file()


def test_recipes_are_what_their_papers_say():
    tiger, letter, lc_rec, idgenrec, cid, semid = (load_experiment(FOLDER / f"{name}.toml") for name in RECIPES)
    for each in (tiger, letter, idgenrec, cid, semid):
        assert each.model.kind == "late-fusion"
        assert not each.model.network.item_prompts
        assert (each.model.network.likelihood, each.model.network.head) == ("vocabulary", "vocabulary")
        assert each.neighbors is None
    assert tiger.codes.letter.collaborative == 0 < letter.codes.letter.collaborative
    assert lc_rec.model.sa_init is None
    assert not lc_rec.wants_words
    assert (lc_rec.model.network.likelihood, lc_rec.model.network.head) == ("vocabulary", "vocabulary")
    assert [each.naming.kind for each in (tiger, idgenrec, cid, semid)] == ["codes", "keyword", "codes", "codes"]
    assert {name: each.kind for name, each in cid.vectors.items()} == {"together": "collaborative"}
    assert (idgenrec.vectors, semid.vectors, semid.codes.kind) == ({}, {}, "categories")


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.toml"))


def test_every_recipe_is_there_for_the_toy_shop_and_for_real_data():
    real = {f"{data}-{recipe}" for data in ("office", "beauty", "industrial", "videogames") for recipe in RECIPES}
    real.remove("videogames-p5-semid")  # its items have titles and no categories
    assert {path.stem for path in files()} == {"base", "seq2seq", *RECIPES, *real}


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_files_plan_or_say_where_data_belong(path, tmp_path, monkeypatch):
    monkeypatch.setenv("LEXIREC_DATA", str(tmp_path / "nowhere"))
    if path.stem in ("base", "seq2seq"):  # no experiments by themselves
        return
    experiment: Experiment = load_experiment(path)
    assert set(experiment.baselines) >= BASELINES, "nothing is reported without the baselines beside it"
    if experiment.data.kind == "toy-shop":
        assert {"model", "evaluation", "report"} <= {
            step.group for step in plan_experiment(experiment, Store(tmp_path))
        }
    else:
        with pytest.raises(DataError, match=r"data\.items: file .* does not exist.*LEXIREC_DATA"):
            plan_experiment(experiment, Store(tmp_path))
