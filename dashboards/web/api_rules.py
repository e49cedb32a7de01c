"""Rules over the API: what is in force, and what other rules would have said."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from dashboards.web.layout import Console
from dashboards.web.problems import Problem
from qingquan.clock import from_ms
from qingquan.errors import ConfigurationError, WrongUse
from qingquan.store.sql.rulesets import RulesetStatus

__all__ = ["rules_router"]

MOST_TEXT = 400_000
WorksId = Annotated[str, Field(pattern=r"^(\d{6}[:/])?[A-Za-z0-9_-]{1,64}$")]


class RulesetOut(BaseModel):
    """By which ruleset a service judges; ``error`` says why a newer one was refused, empty if none was."""

    service: str
    version: str
    digest: str
    source: str
    since: datetime
    error: str
    error_at: datetime | None

    @classmethod
    def of(cls, one: RulesetStatus) -> "RulesetOut":
        """From the store."""
        return cls(
            service=one.service, version=one.version, digest=one.digest, source=one.source, since=from_ms(one.since),
            error=one.error, error_at=None if one.error_at is None else from_ms(one.error_at),
        )  # fmt: skip


class BacktestIn(BaseModel):
    """Which works, how far back, and the rules to try (TOML); without them those in force."""

    model_config = ConfigDict(extra="forbid", strict=True)

    works: WorksId
    days: Annotated[int, Field(ge=1, le=366)] = 90
    ruleset: Annotated[str, Field(max_length=MOST_TEXT)] | None = None


def rules_router(console: Console) -> APIRouter:
    """``/rules``, where they are offered."""
    router = APIRouter(tags=["rules"])
    desk = console.actions.rules
    if desk is None:
        # A console without evaluators behind it, as the one that shows an example: it promises nothing about rules.
        return router

    @router.get("/rules")
    def rules() -> list[RulesetOut]:
        """What each evaluator judges by, and whether a newer ruleset was refused."""
        return [RulesetOut.of(one) for one in desk.statuses()]

    @router.post("/rules/backtest", responses={404: {"model": Problem}})
    def rules_backtest(body: BacktestIn) -> dict[str, Any]:
        """What rules would have said over the stored history of a works, beside those in force."""
        try:
            return dict(desk.backtest(body.works.replace(":", "/"), body.days, body.ruleset))
        except WrongUse as error:
            raise HTTPException(404, str(error)) from error
        except ConfigurationError as error:
            raise HTTPException(422, "; ".join(error.faults)) from error

    return router
