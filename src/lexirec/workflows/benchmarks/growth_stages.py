"""What `lexirec bench growth` times: the stages of the shipped recipes on a synthetic shop, each in its own process.

The stages are those of `gram.toml` and, for residual codes and the causal family, of `tsrec.toml`; they are made by the
pipeline itself, from the artifacts of the stages before them. Besides there are reading and splitting alone, the trie,
scores of the memory, and one training step of each family.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median

import numpy as np
import torch

from lexirec.core.environment import PeakMemory
from lexirec.core.files import write_json
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.loading import split_data
from lexirec.data.neighbors import Neighbors
from lexirec.decoding.trie import Trie
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.gram.recommender import GramInputs, GramRecommender
from lexirec.models.gram.settings import GramSettings
from lexirec.models.gram.training import batches, packed_windows
from lexirec.models.tsrec.mixture import TaskTexts, make_examples
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.models.tsrec.sft import epochs_of
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal
from lexirec.nn.t5 import BackboneSettings, load_backbone
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.runner import StageRunner
from lexirec.pipeline.stages.data import load_split, read_tables
from lexirec.pipeline.stages.identifiers import joined_vectors, load_saved_tokenizer
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.workflows.benchmarks.synthetic_shop import ShopSize, write_shop

CASES = 2_000
"""Cases of an evaluation and of `memory scores`: their number is the user's choice, so it does not grow with a shop."""
ROWS = 2_000
"""Training rows from which the batches of a step are taken."""
STEPS = 3
"""Timed steps, after one that is not."""
_BASELINES = {"memory": {"kind": "memory"}, "item-knn": {"kind": "item-knn"}}


@dataclass(frozen=True)
class Place:
    """Where the shop of one size and its artifacts are.

    Attributes:
        folder: of this size.
        size: of the shop.
        seed: of the shop.
        threads: threads of torch.
    """

    folder: Path
    size: ShopSize
    seed: int = 0
    threads: int = 1

    @property
    def shop(self) -> Path:
        """The folder of the two tables."""
        return self.folder / "shop"

    def experiment(self, family: str) -> Experiment:
        """Return the shipped recipe of a family on this shop."""
        data = {"kind": "tables", "items": str(self.shop / "items.parquet")}
        data |= {"interactions": str(self.shop / "interactions.parquet")}
        overrides = [f"data.{name}={json.dumps(value)}" for name, value in data.items()]
        overrides += ['data.text=["title", "brand", "categories", "description"]', f"evaluation.sample_users={CASES}"]
        experiment = load_experiment(f"lexirec:{family}.toml", overrides)
        chosen = {name: each for name, each in experiment.baselines.items() if name in _BASELINES}
        return experiment.model_copy(update={"baselines": chosen})


class _Clock:
    """Times what is inside `with clock:`; what a stage needs first is not counted."""

    def __init__(self) -> None:
        self.seconds, self.processor_seconds, self.peak, self.growth = 0.0, 0.0, 0, 0.0

    def __enter__(self) -> None:
        self._memory, self._begin, self._worked = PeakMemory(), time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds, self.processor_seconds = time.perf_counter() - self._begin, time.process_time() - self._worked
        self.peak, self.growth = self._memory.peak, self._memory.growth


for _module in ("sklearn.cluster", "sklearn.decomposition", "sklearn.feature_extraction.text", "scipy.sparse.linalg"):
    import_module(_module)  # what stages import late would be timed, and outweigh small shops

Work = Callable[[Place, _Clock], Path | None]


def measure_stage(place: Place, stage: str, out: Path) -> None:
    """Run one stage in this process; write its seconds, peak memory and bytes on disk to a file."""
    torch.set_num_threads(place.threads)
    clock = _Clock()
    with quiet():
        made = STAGES[stage](place, clock)
    figures = {"seconds": clock.seconds, "processor_seconds": clock.processor_seconds}
    figures |= {"peak_mib": clock.peak / 2**20, "growth_mib": clock.growth}
    write_json(out, figures | ({} if made is None else {"disk_mib": _disk(made) / 2**20}))


def _disk(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def _write_shop(place: Place, clock: _Clock) -> Path:
    with clock:
        write_shop(place.shop, place.size, place.seed)
    return place.shop


def _read_tables(place: Place, clock: _Clock) -> None:
    with clock:
        read_tables(place.experiment("gram").data)


def _split(place: Place, clock: _Clock) -> None:
    tables, _, interactions = read_tables(place.experiment("gram").data)
    with clock:
        split_data(tables, interactions)


# ------------------------------------------------------------------------------------------------ stages of a recipe


def _of_recipe(family: str, name: str) -> Work:
    """Return the work of a stage of a shipped recipe, whose inputs are in the store already."""

    def make(place: Place, clock: _Clock) -> Path:
        runner = _planned(place, family)
        stage = next(stage for stage in runner.stages if stage.name == name)
        call = runner.calls[stage.key]
        with clock:
            runner.store.ensure(runner.recipes[stage.key], call, call.raw)
        return stage.folder

    return make


def _planned(place: Place, family: str) -> StageRunner:
    runner = StageRunner(Store(place.folder / "store"), VERSIONS, act=False)
    walk(place.experiment(family), runner)
    return runner


def _folders(place: Place, family: str) -> dict[str, Path]:
    """Return the folders of a recipe's stages by name, and the parts of the data under their own names."""
    folders = {stage.name: stage.folder for stage in _planned(place, family).stages}
    return folders | {"catalog": folders["data"] / "catalog"}


# --------------------------------------------------------------------------------------------- the trie, and serving


def _trie(place: Place, clock: _Clock) -> None:
    identifiers = Identifiers.load(_folders(place, "gram")["identifiers"])
    with clock:
        Trie.build(identifiers.tokens)


def _memory_scores(place: Place, clock: _Clock) -> None:
    folders = _folders(place, "gram")
    recommender = ScoreRecommender.load(folders["baselines.memory"])
    cases = load_split(folders["data"]).test.sample(CASES, seed=0)
    with clock:
        recommender.rank(cases.histories, k=50)


# ---------------------------------------------------------------------------------------------------- training steps


def _gram_build(place: Place) -> tuple[GramRecommender, Iterator[dict[str, torch.Tensor]]]:
    experiment, folders = place.experiment("gram"), _folders(place, "gram")
    settings, chosen = experiment.model, experiment.backbone
    assert isinstance(settings, GramSettings)
    assert isinstance(chosen, BackboneSettings)
    backbone = load_backbone(chosen, tokenizer=load_saved_tokenizer(folders["tokenizer"]), seed=0)
    inputs = GramInputs(
        Identifiers.load(folders["identifiers"]), Neighbors.load(folders["neighbors"]), joined_vectors(folders)
    )
    recommender = GramRecommender.build(Catalog.load(folders["catalog"]), backbone, inputs, settings)
    train = load_split(folders["data"]).train
    windows = packed_windows(train.take(np.arange(min(ROWS, len(train)))), settings.network.max_history)
    parts = batches(windows, settings.training.batch_targets, [0, 0])
    return recommender, (windows.batch(part) for part in parts)


def _gram_step(place: Place, clock: _Clock) -> None:
    recommender, found = _gram_build(place)
    _steps(recommender.model, found, clock)


def _tsrec_step(place: Place, clock: _Clock) -> None:
    from lexirec.models.tsrec.recommender import TSRecRecommender
    from lexirec.pipeline.stages.models import tsrec_inputs

    experiment, folders = place.experiment("tsrec"), _folders(place, "tsrec")
    settings, chosen = experiment.model, experiment.backbone
    assert isinstance(settings, TSRecSettings)
    assert isinstance(chosen, CausalBackboneSettings)
    backbone = load_causal(chosen, tokenizer=load_saved_tokenizer(folders["tokenizer"]), seed=0)
    inputs = tsrec_inputs(folders, grounded=settings.network.grounded)
    recommender = TSRecRecommender.build(Catalog.load(folders["catalog"]), backbone, inputs, settings)
    train = load_split(folders["data"]).train
    texts = TaskTexts.of(recommender.catalog, recommender.words, None)
    tasks = settings.tasks.model_copy(update={"ts_align": 0.0})
    examples = make_examples(recommender.builder, train.take(np.arange(min(ROWS, len(train)))), texts, tasks)
    data = epochs_of(examples, settings.training)
    _steps(recommender.model, (data[number] for number in range(len(data))), clock)


def _steps(model: torch.nn.Module, found: Iterator[Mapping[str, torch.Tensor]], clock: _Clock) -> None:
    """Time forward, backward, clipping and AdamW on a few batches; the clock keeps the median of the seconds."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model.train()
    taken = []
    for _, batch in zip(range(STEPS + 1), found, strict=False):
        with clock:
            optimizer.zero_grad()
            model(**batch)["loss"].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        taken.append((clock.seconds, clock.processor_seconds))
    clock.seconds, clock.processor_seconds = (median(each) for each in zip(*(taken[1:] or taken), strict=True))


STAGES: Mapping[str, Work] = {
    "shop": _write_shop,
    "read tables": _read_tables,
    "split": _split,
    "data": _of_recipe("gram", "data"),
    "vectors": _of_recipe("gram", "vectors.text"),
    "codes": _of_recipe("gram", "codes"),
    "residual codes": _of_recipe("tsrec", "codes"),
    "tokenizer": _of_recipe("gram", "tokenizer"),
    "lexicon": _of_recipe("gram", "lexicon"),
    "identifiers": _of_recipe("gram", "identifiers"),
    "neighbours": _of_recipe("gram", "neighbors"),
    "memory fit": _of_recipe("gram", "baselines.memory"),
    "memory scores": _memory_scores,
    "item-knn fit": _of_recipe("gram", "baselines.item-knn"),
    "evaluation": _of_recipe("gram", "evaluation.memory"),
    "trie": _trie,
    "causal tokenizer": _of_recipe("tsrec", "tokenizer"),
    "contrastive lexicon": _of_recipe("tsrec", "lexicon"),
    "code identifiers": _of_recipe("tsrec", "identifiers"),
    "gram step": _gram_step,
    "tsrec step": _tsrec_step,
}
"""What is timed, in order: a stage finds what the stages before it made."""
