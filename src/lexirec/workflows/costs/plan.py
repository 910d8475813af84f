"""The cost of an experiment before it runs: phases with their operations, memory, and hours on devices.

Counted are the model's training, its validations, reinforcement and evaluation. Item vectors, codes, neighbours,
baselines and pretraining are not; on GPUs they take minutes, except for vectors of large encoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lexirec.core.errors import SettingsError
from lexirec.core.store import Store
from lexirec.models.gram.settings import GramSettings
from lexirec.models.tsrec.settings import SftSettings, TSRecSettings
from lexirec.nn.t5 import BackboneSettings
from lexirec.pipeline.experiment import Experiment
from lexirec.workflows.costs.devices import Device
from lexirec.workflows.costs.facts import Meter, facts_of
from lexirec.workflows.costs.gram_work import GramWork, prompt_lengths
from lexirec.workflows.costs.phase import Phase
from lexirec.workflows.costs.shapes import Shape, shape_of
from lexirec.workflows.costs.tsrec_work import CODES, KEYWORDS, MEANING, TSRecWork

NOT_COUNTED = "not counted: item vectors, codes, neighbours, pretraining and baselines"
WEIGHT, OPTIMISER, COPY = 4, 8, 2
"""Bytes of a weight or its gradient in float32, of AdamW's two moments, and of the copy in half precision on a GPU."""


@dataclass(frozen=True)
class Memory:
    """Memory of training, in bytes.

    Attributes:
        weights: in float32, with their copies in half precision, and a frozen reference in reinforcement.
        gradients: of trained weights.
        optimiser: AdamW's two moments of trained weights.
        activations: of the phase that keeps most.
    """

    weights: float
    gradients: float
    optimiser: float
    activations: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimiser + self.activations


@dataclass(frozen=True)
class CostPlan:
    """The cost of one experiment.

    Attributes:
        name: of the experiment.
        shape: of its backbone.
        trained: number of weights that are trained.
        phases: in order.
        memory: of training.
        notes: what was assumed.
    """

    name: str
    shape: Shape
    trained: int
    phases: tuple[Phase, ...]
    memory: Memory
    notes: tuple[str, ...]

    def seconds(self, device: Device) -> float:
        """Return the seconds of all phases on a device."""
        return sum(phase.seconds(device, self.shape.width) for phase in self.phases)

    def fits(self, device: Device) -> bool:
        """Whether training fits into a device's memory; a tenth of it is left free."""
        return self.memory.total <= 0.9 * device.memory

    def as_json(self, devices: Sequence[Device]) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "experiment": self.name,
            "backbone": {**asdict(self.shape), "parameters": self.shape.parameters, "trained": self.trained},
            "phases": [
                {
                    "phase": phase.name,
                    "examples": phase.examples,
                    "tokens_per_example": phase.tokens,
                    "steps": phase.steps,
                    "operations": phase.operations,
                    "shares": phase.shares,
                }
                for phase in self.phases
            ],
            "memory_bytes": {**asdict(self.memory), "total": self.memory.total},
            "devices": [
                {
                    "device": device.name,
                    "peak_operations_per_second": device.rate,
                    "training_share": device.training_share(self.shape.width),
                    "search_share": device.search_share,
                    "seconds": {phase.name: phase.seconds(device, self.shape.width) for phase in self.phases},
                    "fits": self.fits(device),
                }
                for device in devices
            ],
            "notes": list(self.notes),
        }


def plan_cost(experiment: Experiment, store: Store) -> CostPlan:
    """Plan the cost of an experiment's generative model.

    Raises:
        SettingsError: it has none, or the sizes of its backbone are not known here.
    """
    model, backbone = experiment.model, experiment.backbone
    if model is None or backbone is None:
        raise SettingsError(f"{experiment.name} has no [model], so there is no cost to plan; baselines take minutes")
    facts, meter = facts_of(experiment, store), Meter(experiment, store)
    shape = shape_of(backbone, meter.pieces)
    evaluations = len(experiment.evaluation.seen)
    if isinstance(model, GramSettings):
        gram = GramWork(shape, model, facts, prompt_lengths(facts, meter, model))
        phases = gram.phases(evaluations)
    else:
        tsrec = TSRecWork(shape, model, facts, meter, *_words(experiment, facts.identifier))
        phases = tsrec.phases(evaluations, experiment.reinforcement)
    trained = _trained(shape, model)
    notes = [*facts.notes, *([meter.note] if meter.note else []), f"sizes of the backbone from {shape.source}"]
    if isinstance(backbone, BackboneSettings) and backbone.encoder is not None:
        reader = f"the encoder '{backbone.encoder.name}'"
        notes.append(f"{reader} is not counted: prompts are counted as if the decoder's own encoder read them")
    memory = _memory(shape, trained, phases, reference=_reference(experiment))
    return CostPlan(experiment.name, shape, trained, tuple(phases), memory, (*notes, NOT_COUNTED))


def _words(experiment: Experiment, levels: float) -> tuple[float, float]:
    """Return the number of tokens that the lexicon describes, and the tokens of a description."""
    if not experiment.wants_words:
        return 0.0, 0.0
    written = experiment.lexicon.kind in ("published", "llm")
    return levels * getattr(experiment.codes, "branching", CODES), MEANING if written else KEYWORDS


def _reference(experiment: Experiment) -> bool:
    settings = experiment.reinforcement
    return settings is not None and settings.training.beta > 0


def _trained(shape: Shape, model: GramSettings | TSRecSettings) -> int:
    training = model.training
    if not isinstance(training, SftSettings) or training.trainable == "full":
        return shape.parameters
    tables = shape.table * (1 if shape.tied else 2)
    if training.trainable == "embeddings":
        return tables
    keys = shape.key_heads * shape.head_size
    ends = 2 * (shape.width + shape.inner) + 2 * (shape.width + keys) + 3 * (shape.width + shape.feed_forward)
    return tables + shape.layers * training.lora.rank * ends


def _memory(shape: Shape, trained: int, phases: Sequence[Phase], *, reference: bool) -> Memory:
    copies = WEIGHT + COPY + (WEIGHT if reference else 0)
    activations = max(phase.activations for phase in phases)
    return Memory(float(copies * shape.parameters), float(WEIGHT * trained), float(OPTIMISER * trained), activations)
