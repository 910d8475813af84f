"""Settings of the service: defaults, then `serve.toml`, then `LEXIREC_SERVE__…` variables, then the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lexirec.core.config import DataPath, Settings, layered_settings
from lexirec.core.errors import SettingsError

PREFIX = "LEXIREC_SERVE__"
"""First part of the environment variables that set the service: `LEXIREC_SERVE__BATCHING__MAX_BATCH_REQUESTS=16`."""
KEY_VARIABLE = "LEXIREC_API_KEY"
"""Environment variable of a single key with every scope, for set-ups that need no more."""
_SECRET = ("url",)

Share = Annotated[float, Field(ge=0, le=1)]


class BatchingSettings(Settings):
    """How waiting requests are joined into batches of the model.

    A batch begins as soon as the model is idle and something waits: there is no waiting for more.
    """

    max_batch_requests: int = Field(default=32, ge=1)
    """Requests of one batch, at most."""
    max_batch_tokens: int = Field(default=16_384, ge=1)
    """Tokens of one batch, at most (what the model reads of the histories); a single request may exceed it."""
    mask_cache_bytes: int = Field(default=256 * 2**20, ge=0)
    """Memory of the cache of compiled filters."""


class LimitSettings(Settings):
    """Limits of requests; what exceeds one is refused with a status that says which."""

    body_bytes: int = Field(default=2_000_000, ge=1)
    """Largest body of a request (413)."""
    bulk_body_bytes: int = Field(default=8_000_000, ge=1)
    """The same for events and items."""
    rows: int = Field(default=1_000, ge=1, le=10_000)
    """Events or items of one request (413)."""
    waiting: int = Field(default=256, ge=1)
    """Requests that wait for the model; the next one is refused (503, Retry-After)."""
    rate: str | None = Field(default=None, pattern=r"^[1-9][0-9]*/(second|minute|hour)$")
    """Requests of one key or, without keys, of one address, such as `200/second` (429); None for no limit."""
    wire_seconds: float = Field(default=10.0, gt=0)
    """Seconds for a request's headers and body to arrive (408)."""


class EventSettings(Settings):
    """What types of events mean."""

    read: tuple[str, ...] | None = None
    """Types that the model reads as history; None for all but those of `never`."""
    seen: tuple[str, ...] | None = None
    """Types whose items count as seen; None for all."""
    never: tuple[str, ...] = ("own", "dislike", "hide")
    """Types whose items are never recommended to the user."""
    unknown_items: Literal["keep", "reject"] = "keep"
    """Events with items outside the catalogue: kept, and read once the item exists, or rejected."""
    future_seconds: float = Field(default=3600.0, ge=0)
    """An event may be this much later than the clock of the service."""
    keep_days: float | None = Field(default=None, gt=0)
    """Days until events are deleted; None keeps them."""


def known_types(events: EventSettings) -> tuple[str, ...]:
    """Return the types of events that the settings name, and the default one of an event."""
    named = [*(events.read or ()), *(events.seen or ()), *events.never]
    return tuple(dict.fromkeys(["interaction", *named]))


class ImpressionSettings(Settings):
    """Which answers are recorded, for the evaluation of what was shown."""

    share: Share = 1.0
    """Share of users, by a hash of their ids, whose answers are recorded."""
    keep_days: float = Field(default=30.0, gt=0)
    """Days until they are deleted."""
    clicks: tuple[str, ...] | None = None
    """Types of events that count as clicks on what was shown; None for all but those of `events.never`."""


class CatalogSettings(Settings):
    """When staged changes of the catalogue become a version by themselves; by default never."""

    publish_every: str | None = Field(default=None, pattern=r"^[1-9][0-9]*(s|m|h)$")
    """Time between versions, such as `60s`, `15m` or `6h`, where something is staged; None for no such time."""
    publish_after: int | None = Field(default=None, ge=1)
    """Staged changes after which a version is made at once; None for no such number."""


class StorageSettings(Settings):
    """The database of users, events and items."""

    url: str | None = None
    """`sqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`; None for `serving/NAME.db` in the store."""
    clock: Literal["system", "simulated"] = "system"
    """`simulated` stands still until a request's header `X-Simulated-Time` sets it forward: for `lexirec simulate`, on
    loopback and with a database of its own."""


class AuthSettings(Settings):
    """Who may ask."""

    public: tuple[Literal["metrics", "docs"], ...] = ()
    """Pages that need no key although keys exist."""
    insecure: bool = False
    """Allow an address other than loopback without any key."""


class LogSettings(Settings):
    """Logs: one JSON line a request on standard error."""

    user_ids: Literal["hashed", "plain"] = "hashed"
    """Whether lines hold users' ids, or keyed hashes of them (the key is new with each start)."""
    requests: bool = True
    """Write a line per request."""


class StoppingSettings(Settings):
    """How the service stops on SIGTERM."""

    drain_delay: float = Field(default=5.0, ge=0)
    """Seconds in which it says that it is not ready but still answers, so that a proxy turns away."""
    finish_seconds: float = Field(default=25.0, ge=0)
    """Seconds in which requests that run may end afterwards."""


class ModelSettings(Settings):
    """Models that can be loaded beside the first one."""

    root: DataPath | None = None
    """Folder below which models are loaded: a store of experiments, or saved recommenders; None for the store."""
    start: Literal["active", "newest"] = "active"
    """Which model answers after a start: the one that was active before, or that of the newest finished run."""


class TrafficSettings(Settings):
    """A second model that answers a share of the users, or only computes what it would have answered."""

    candidate: str | None = None
    """Its name as `POST /v1/models` takes it; None for no second model. It is loaded at the start."""
    share: Share = 0.05
    """Share of the users, by a salted hash of their ids, that it answers."""
    shadow: bool = False
    """The active model answers these users, too; how much of its lists the candidate's repeat is counted."""
    salt: str = ""
    """Another one gives the candidate other users."""

    @model_validator(mode="after")
    def _shadow_needs_a_candidate(self) -> Self:
        if self.shadow and self.candidate is None:
            raise ValueError("'shadow' needs a model to compare with; name it in traffic.candidate")
        return self


class AddressSettings(Settings):
    """Where the service listens."""

    host: str = "127.0.0.1"
    """Address that is bound; another one than loopback needs a key."""
    port: int = Field(default=8000, ge=0, le=65_535)
    """Port; 0 for a free one."""
    root_path: str = ""
    """Path below which a proxy serves the service."""


class ServeSettings(AddressSettings):
    """Settings of `lexirec serve`."""

    fallback: Literal["full", "none"] = "full"
    """What answers when the model does not in time or fails: simpler models of the same catalogue, or a 503."""
    storage: StorageSettings = Field(default_factory=StorageSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    batching: BatchingSettings = Field(default_factory=BatchingSettings)
    events: EventSettings = Field(default_factory=EventSettings)
    catalog: CatalogSettings = Field(default_factory=CatalogSettings)
    impressions: ImpressionSettings = Field(default_factory=ImpressionSettings)
    logs: LogSettings = Field(default_factory=LogSettings)
    stopping: StoppingSettings = Field(default_factory=StoppingSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    traffic: TrafficSettings = Field(default_factory=TrafficSettings)

    @model_validator(mode="after")
    def _simulations_stay_at_home(self) -> Self:
        if self.storage.clock == "simulated" and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("storage.clock is 'simulated', whose time any request can set; it needs host 127.0.0.1")
        if self.storage.clock == "simulated" and self.storage.url is None:
            raise ValueError(
                "storage.clock is 'simulated', which writes times to come; name a database of its own in storage.url"
            )
        return self


class Configured(NamedTuple):
    """Settings, and where each value that is no default comes from, by its dotted name."""

    settings: ServeSettings
    origins: dict[str, str]

    def lines(self) -> list[str]:
        """Return a line per setting: name, value (secrets masked) and origin."""
        values = _flat(self.settings.model_dump(mode="json"))
        return [f"{name} = {_shown(name, value)}  # {self._origin(name)}" for name, value in values.items()]

    def _origin(self, name: str) -> str:
        table, _, setting = name.rpartition(".")
        given = getattr(self.settings, table) if table else self.settings
        if setting not in given.model_fields_set:  # a file's origin is that of its tables, defaults among them
            return "default"
        return next((self.origins[key] for key in (name, table) if key in self.origins), "default")


def different_settings(before: ServeSettings, after: ServeSettings) -> tuple[str, ...]:
    """Return the dotted names of the settings whose values differ."""
    old, new = _flat(before.model_dump(mode="json")), _flat(after.model_dump(mode="json"))
    return tuple(name for name in new if old.get(name) != new[name])


def read_settings(
    file: Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Configured:
    """Return the settings of the service and the origin of each value.

    Args:
        file: `serve.toml`, or None.
        overrides: `a.b=c`, of the command line.
        environ: environment variables; by default those of the process.

    Raises:
        SettingsError: one line that names the origin, what was given and what is allowed.
    """
    variables = os.environ if environ is None else environ
    layers = [_from_variable(name, value) for name, value in sorted(variables.items()) if name.startswith(PREFIX)]
    # an origin without the value: it is printed, and the value may be a secret
    layers += [(override, f"--set {override.partition('=')[0].strip()}") for override in overrides]
    return Configured(*layered_settings(ServeSettings, file, layers))


def _from_variable(name: str, value: str) -> tuple[str, str]:
    keys = name.removeprefix(PREFIX).lower().split("__")
    if not all(keys):
        raise SettingsError(f"{name}: write it as {PREFIX}TABLE__SETTING, such as {PREFIX}LIMITS__WAITING")
    return f"{'.'.join(keys)}={value}", name


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return flat


def _shown(name: str, value: Any) -> str:
    if name.rpartition(".")[2] in _SECRET and isinstance(value, str):
        head, at, tail = value.rpartition("@")
        scheme, slashes, user = head.partition("://")
        return f"{scheme}{slashes}{user.partition(':')[0]}:***@{tail}" if at else value
    return "none" if value is None else str(value)
