"""Calls about models, as data; see `client.calls`."""

from __future__ import annotations

from lexirec.client.calls import Call, body_of, checked, in_path
from lexirec.serving.schemas.catalog import JobAnswer
from lexirec.serving.schemas.models import ModelBody
from lexirec.serving.schemas.service import ModelAnswer, ModelsAnswer


def models() -> Call[ModelsAnswer]:
    """Return the call for the loaded models."""
    return Call("GET", "/v1/models", ModelsAnswer)


def load_model(name: str, *, activate: bool) -> Call[JobAnswer]:
    """Return the call that loads a model."""
    return Call("POST", "/v1/models", JobAnswer, body_of(checked(ModelBody, {"name": name, "activate": activate})))


def activate_model(name: str) -> Call[ModelAnswer]:
    """Return the call that lets a loaded model answer."""
    return Call("POST", f"/v1/models/{in_path(name)}/activate", ModelAnswer)


def roll_back_model() -> Call[ModelAnswer]:
    """Return the call that lets the model before answer."""
    return Call("POST", "/v1/models/rollback", ModelAnswer)
