"""Previews: the list that a request would get, what each filter leaves, and how the beam search found it."""

from __future__ import annotations

import asyncio

from lexirec.decoding.recording import BeamRecorder
from lexirec.serving.answering.histories import owner_of
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.http.service import Service
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.recommend import Recommendation, RecommendRequest
from lexirec.serving.schemas.workbench import BeamAnswer, FilterCount, PreviewAnswer
from lexirec.serving.workbench.beam_tree import beam_answer
from lexirec.serving.workbench.identifier_tree import IdentifierTrees


async def preview(service: Service, trees: IdentifierTrees, body: RecommendRequest, *, beam: bool) -> PreviewAnswer:
    """Answer a request without recording or counting it.

    Raises:
        ProblemError: as for the request itself.
    """
    recorder = BeamRecorder()
    answer = await service.answers.recommend(body, recorder=recorder)
    snapshot = _snapshot(service, body, answer)
    filters = await asyncio.to_thread(_filters, service, snapshot, body)
    found, remarks = (None, ()) if not beam else await asyncio.to_thread(_beam, recorder, trees, snapshot, answer)
    available = len(snapshot.catalog) if snapshot.available is None else int(snapshot.available.sum())
    return PreviewAnswer(
        recommendation=answer,
        items=len(snapshot.catalog),
        available=available,
        filters=filters,
        beam=found,
        remarks=remarks,
    )


def _snapshot(service: Service, body: RecommendRequest, answer: Recommendation) -> Snapshot:
    """Return the snapshot that answered, or today's of the same model."""
    for each in service.snapshots.all:
        if (
            each.model[:2] == (answer.model.name, answer.model.version)
            and each.catalog_version == answer.catalog_version
        ):
            return each
    owner = owner_of(body.user_id, body.session_id)
    return service.snapshots.route(body.model, body.catalog_version, owner).snapshot


def _filters(service: Service, snapshot: Snapshot, body: RecommendRequest) -> tuple[FilterCount, ...]:
    counts = list[FilterCount]()
    none = {"allow": (), "deny": (), "boosts": (), "at_most": (), "new_items": 0.0}

    def legal(allow: tuple[str, ...], deny: tuple[str, ...]) -> int:
        asked = body.model_copy(update={**none, "allow": allow, "deny": deny})
        allowed = service.compiler.rules(snapshot, asked).rules.allowed
        return len(snapshot.catalog) if allowed is None else int(allowed.sum())

    for place, text in enumerate(body.allow):
        counts.append(
            FilterCount(kind="allow", filter=text, alone=legal((text,), ()), left=legal(body.allow[: place + 1], ()))
        )
    for place, text in enumerate(body.deny):
        left = legal(body.allow, body.deny[: place + 1])
        counts.append(FilterCount(kind="deny", filter=text, alone=legal((), (text,)), left=left))
    return tuple(counts)


def _beam(
    recorder: BeamRecorder, trees: IdentifierTrees, snapshot: Snapshot, answer: Recommendation
) -> tuple[BeamAnswer | None, tuple[str, ...]]:
    if not recorder.searches:
        return None, (_why_none(answer),)
    try:
        tree = trees.of(snapshot)
    except ProblemError as error:
        return None, (error.detail,)
    ranks = {snapshot.numbers[each.item_id]: each.rank for each in answer.items}
    found = beam_answer(recorder, tree, ranks)
    many = f"the list took {len(recorder.searches)} searches; the first one is shown"
    return found, (many,) if len(recorder.searches) > 1 else ()


def _why_none(answer: Recommendation) -> str:
    if answer.fallback is not None:
        return f"no beam search was made: a simpler model answered ({answer.fallback})"
    if not answer.legal_items:
        return "no beam search was made: no item is legal"
    return f"no beam search was made: '{answer.model.name}' scores all items at once"
