"""The replies of the health endpoints, which ``windlass.operations.health`` makes, and of the circuit breakers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from windlass.http.json_models import ReplyModel
from windlass.resilience import circuits
from windlass.resilience.service_level import ServiceLevel

State = Literal["ok", "impaired", "failed", "off"]


class CheckOut(ReplyModel):
    status: State = Field(description="`impaired`: works with less than it should; `off`: not configured.")
    detail: str
    latency_ms: float = Field(description="How long the check took.")
    limit: str = Field(description="What the component is held against.")
    required: bool = Field(description="Whether the server is not ready if this check fails.")


class ReadinessOut(ReplyModel):
    status: Literal["ok", "failed"] = Field(description="`failed` if a required check failed.")
    checks: dict[str, CheckOut]


class ComponentOut(ReplyModel):
    state: State
    detail: str
    latency_ms: float


class JobCountsOut(ReplyModel):
    queued: int
    running: int
    dead: int
    oldest_age_seconds: float = Field(description="How long the job that is due for longest has waited.")


class BreakerOut(ReplyModel):
    name: str = Field(
        description="`scanner`, `storage` (the default store), `storage.NAME` (another store) … or `webhook.HOST`."
    )
    state: circuits.State
    failure_count: int = Field(description="Failures in a row with which it opened; 0 while it is closed.")
    success_count: int = Field(description="Successful trials in a row while it is half open.")
    failure_threshold: int = Field(description="Failures in a row, in one process, that open it.")
    success_threshold: int = Field(description="Successful trials in a row that close it.")
    recovery_seconds: float = Field(description="How long it stays open before a trial.")
    opened_at: datetime | None = Field(description="When it last opened; null while it is closed.")
    retry_at: datetime | None = Field(description="When an open one admits a trial; else null.")


class HealthOut(ReplyModel):
    status: Literal["ok", "impaired", "failed"] = Field(
        description="`failed`: the server is not ready; `impaired`: another component has failed or is impaired."
    )
    service_level: ServiceLevel = Field(description="Kept for some seconds after a component is well again.")
    available_features: list[str] = Field(description="What works now, by service level, components and settings.")
    components: dict[str, ComponentOut]
    circuit_breakers: dict[str, BreakerOut] = Field(
        description="While the database is away, as this process knows them."
    )
    jobs: JobCountsOut | None = Field(description="null while the database is away.")
