"""Recorded lists as answers: the snapshot and the user that a row names, and what came of it."""

from __future__ import annotations

from lexirec.serving.answering.histories import GivenEvent
from lexirec.serving.answering.past import PastList, Reasons
from lexirec.serving.answering.snapshot import ModelIdentity
from lexirec.serving.database.ids import SESSION_PREFIX, is_session
from lexirec.serving.database.impressions import Impression, Outcome
from lexirec.serving.schemas.evaluation import OutcomeAnswer, PastItem, PastRecommendation
from lexirec.serving.schemas.recommend import Because, ModelName


def snapshot_name(model: str, version: str, catalog_version: int) -> str:
    """Return how an impression names the snapshot that answered."""
    return f"{model}@{version}/{catalog_version}"


def snapshot_of(name: str) -> tuple[ModelIdentity, int]:
    """Return the model and the version of the catalogue that a name stands for; see `snapshot_name`."""
    named, _, number = name.rpartition("/")
    model, _, version = named.rpartition("@")
    return ModelIdentity(model, version), int(number) if number.isdigit() else 0


def past_list(shown: Impression, stored: list[tuple[str, str]]) -> PastList:
    """Return a recorded list as what computes its reasons takes it.

    Args:
        shown: The row.
        stored: Item and type of the user's events that were stored then, oldest first.
    """
    model, catalog_version = snapshot_of(shown.snapshot)
    source = str(shown.items[0].get("source", "model")) if shown.items else "model"
    scores = {str(item["item_id"]): float(item.get("score", 0.0)) for item in shown.items}
    given = [GivenEvent(item_id, kind) for item_id, kind in stored]
    return PastList(model, catalog_version, source, shown.request, scores, given, shown.details.get("used_events"))


def past_answer(shown: Impression, outcomes: list[Outcome], reasons: Reasons | None) -> PastRecommendation:
    """Return the answer about a recorded list; `reasons` is None where nobody asked for them."""
    model, catalog_version = snapshot_of(shown.snapshot)
    owner = shown.user_id
    session = owner is not None and is_session(owner)
    shares = reasons.shares if reasons is not None else None
    ranks = {str(item["item_id"]): int(item["rank"]) for item in shown.items}
    items = tuple(
        PastItem(
            item_id=item_id,
            rank=rank,
            score=item.get("score"),
            source=item.get("source"),
            because=None
            if shares is None
            else tuple(Because(item_id=each, share=round(share, 4)) for each, share in shares.get(item_id, ())),
        )
        for (item_id, rank), item in zip(ranks.items(), shown.items, strict=True)
    )
    return PastRecommendation(
        recommendation_id=shown.recommendation_id,
        user_id=None if session else owner,
        session_id=owner.removeprefix(SESSION_PREFIX) if owner is not None and session else None,
        time=shown.time,
        variant=shown.variant,
        model=ModelName(name=model.name, version=model.version),
        catalog_version=catalog_version,
        scenario=shown.scenario,
        request=dict(shown.request),
        items=items,
        fallback=shown.fallback,
        details=dict(shown.details),
        outcomes=tuple(_outcome(each, ranks) for each in outcomes),
        explained=None if reasons is None else shares is not None,
        remarks=reasons.remarks if reasons is not None else (),
    )


def _outcome(outcome: Outcome, ranks: dict[str, int]) -> OutcomeAnswer:
    event = outcome.event
    return OutcomeAnswer(
        event_id=event.event_id,
        item_id=event.item_id,
        type=event.type,
        time=event.time,
        value=event.value,
        position=event.position,
        rank=ranks.get(event.item_id),
        inferred=outcome.inferred,
    )
