"""Output of `lexirec plan --cost`: phases, memory and hours on devices."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from lexirec.cli.output import new_table, put, put_json
from lexirec.workflows.costs.devices import GIB, Device
from lexirec.workflows.costs.plan import CostPlan


def print_cost(plan: CostPlan, devices: Sequence[Device], as_json: bool) -> None:
    """Print the planned cost of an experiment."""
    if as_json:
        put_json(plan.as_json(devices))
        return
    shape = plan.shape
    parts = [f"encoder {_count(shape.encoder)}"] if shape.encoder_layers else []
    parts += [f"decoder {_count(shape.decoder)}", f"embeddings {_count(shape.table)}"]
    put(
        f"{shape.name}: {_count(shape.parameters)} weights ({', '.join(parts)}), {_count(plan.trained)} of them trained"
    )
    phases = new_table("phase", "examples", "tokens each", "steps", "operations", "where")
    for phase in plan.phases:
        where = ", ".join(f"{name} {share:.0%}" for name, share in phase.shares.items() if share >= 0.005)
        steps = f"{phase.steps:,}" if phase.steps else "–"
        cells = (phase.name, f"{phase.examples:,.0f}", f"{phase.tokens:,.0f}", steps, f"{phase.operations:.2g}", where)
        phases.add_row(*map(Text, cells))
    hours = new_table("device", *(phase.name for phase in plan.phases), "all", "memory")
    for device in devices:
        each = [phase.seconds(device, shape.width) for phase in plan.phases]
        fits = "fits" if plan.fits(device) else f"{device.memory / GIB:.0f} GiB are too few"
        hours.add_row(*map(Text, (device.title, *map(duration, each), duration(sum(each)), fits)))
    memory = plan.memory
    sizes = {"weights": memory.weights, "gradients": memory.gradients, "optimiser": memory.optimiser}
    sizes["activations"] = memory.activations
    told = ", ".join(f"{name} {size / GIB:.1f}" for name, size in sizes.items())
    put(
        phases,
        hours,
        f"memory of training: {memory.total / GIB:.1f} GiB ({told})",
        *(_shares(plan, devices), *_notes(plan)),
    )


def _shares(plan: CostPlan, devices: Sequence[Device]) -> str:
    told = ", ".join(
        f"{device.name} {device.training_share(plan.shape.width):.0%} and {device.search_share:.0%} of "
        f"{device.rate / 1e12:.3g} T/s{' (measured)' if device.measured else ''}"
        for device in devices
    )
    return f"assumed to be reached in training and in search: {told}"


def _notes(plan: CostPlan) -> Sequence[str]:
    return ["assumed: " + "; ".join(plan.notes[:-1]), plan.notes[-1]]


def duration(seconds: float) -> str:
    """Format a planned time: seconds, minutes, hours or days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def _count(weights: int) -> str:
    return f"{weights / 1e9:.2f} G" if weights >= 1e9 else f"{weights / 1e6:.1f} M"
