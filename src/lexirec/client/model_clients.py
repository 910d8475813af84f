"""The part of both clients that is about models: what is loaded, load another one, swap, go back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from pydantic import BaseModel

from lexirec.client import model_calls as calls
from lexirec.client.calls import Call
from lexirec.serving.schemas.catalog import JobAnswer
from lexirec.serving.schemas.service import ModelAnswer, ModelsAnswer

A = TypeVar("A", bound=BaseModel)


class ModelClient(ABC):
    """Waits for answers; `Client` derives from it."""

    @abstractmethod
    def _send(self, call: Call[A], retries: int | None = None) -> A:
        """Send a call, and return its answer."""

    def models(self) -> ModelsAnswer:
        """Return the loaded models, the active one first."""
        return self._send(calls.models())

    def load_model(self, name: str, *, activate: bool = False) -> JobAnswer:
        """Load a model beside the others; the result of the job names it."""
        return self._send(calls.load_model(name, activate=activate))

    def activate_model(self, name: str) -> ModelAnswer:
        """Let a loaded model answer; `name` is that of the job's result."""
        return self._send(calls.activate_model(name))

    def roll_back_model(self) -> ModelAnswer:
        """Let the model answer that did before; tried once, as doing it twice undoes it."""
        return self._send(calls.roll_back_model(), retries=0)


class AsyncModelClient(ABC):
    """The same for asyncio."""

    @abstractmethod
    async def _send(self, call: Call[A], retries: int | None = None) -> A:
        """Send a call, and return its answer."""

    async def models(self) -> ModelsAnswer:
        """Return the loaded models, the active one first."""
        return await self._send(calls.models())

    async def load_model(self, name: str, *, activate: bool = False) -> JobAnswer:
        """Load a model beside the others; the result of the job names it."""
        return await self._send(calls.load_model(name, activate=activate))

    async def activate_model(self, name: str) -> ModelAnswer:
        """Let a loaded model answer; `name` is that of the job's result."""
        return await self._send(calls.activate_model(name))

    async def roll_back_model(self) -> ModelAnswer:
        """Let the model answer that did before; tried once, as doing it twice undoes it."""
        return await self._send(calls.roll_back_model(), retries=0)
