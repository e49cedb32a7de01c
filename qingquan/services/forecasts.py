"""Forecasts as findings: a residual that is about to fall below its limit, told by day and only shown by night."""

from collections.abc import Mapping
from dataclasses import replace
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from alerts.apply import AlertSettings, apply_findings
from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.findings import AS_OF, Finding, FindingKind, Severity, finding_id
from qingquan.domain.parameters import Parameter
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from qingquan.store.sql.findings import list_findings
from rules.advice import History
from rules.trend import Forecast, forecast_sentence

__all__ = ["DAY_HOURS", "FORECAST_RULE", "Forecasts"]

FORECAST_RULE = "residual-forecast"
DAY_HOURS = range(7, 21)
"""Local hours in which a forecast is told to the county's group; at other hours it is on the pages alone."""


class Forecasts:
    """Opens and closes forecast findings. They rest on a trend and never on the state machine, and change nothing there."""

    def __init__(self, config: Config, parameters: Mapping[str, Parameter]) -> None:
        self._config = config
        self._parameters = parameters
        self._settings = AlertSettings.from_config(config)

    def tell(
        self, connection: Connection, works: Works, point: str, residual: str, forecast: Forecast | None, history: History, now: int
    ) -> None:  # fmt: skip
        """Bring the works' forecast finding in line with what is forecast now. Needs a writing transaction."""
        open_now = list_findings(
            connection, county=works.county, works=works.id, kinds=[FindingKind.RESIDUAL_FALLING], is_open=True, limit=5
        ).items
        newest = round(float(history.observed_at[-1])) if len(history.observed_at) else now
        if forecast is None:
            over = [
                replace(one, end=max(one.start, newest), evidence={**one.evidence, AS_OF: newest}) for one in open_now
            ]
            if over:
                apply_findings(connection, over, {(works.county, works.id): works}, now, self._settings)
            return
        finding = self._finding(works, point, residual, forecast, newest, now)
        if open_now:
            held = open_now[0]
            # A forecast moves with every reading: only a severity that rises with the day is news.
            if finding.severity <= held.severity:
                return
            finding = replace(finding, id=held.id, start=held.start)
        apply_findings(connection, [finding], {(works.county, works.id): works}, now, self._settings)

    def _finding(
        self, works: Works, point: str, residual: str, forecast: Forecast, newest: int, now: int
    ) -> Finding:  # fmt: skip
        language = self._config.language
        parameter = self._parameters[residual]
        name = parameter.name_en if language == "en" else parameter.short_zh
        is_day = from_ms(now).astimezone(ZoneInfo(works.time_zone)).hour in DAY_HOURS
        key = SeriesKey(works.county, works.id, point, residual)
        return Finding(
            id=finding_id(FindingKind.RESIDUAL_FALLING, FORECAST_RULE, key, newest),
            kind=FindingKind.RESIDUAL_FALLING, severity=Severity.MINOR if is_day else Severity.INFO,
            county=works.county, works=works.id, point=point, parameter=residual, start=newest, end=None, evidence_at=newest,
            extreme=forecast.level, limit=forecast.limit, clause="", rule=FORECAST_RULE, rule_version="1",
            reason=forecast_sentence(forecast, name, parameter.unit, language),
            evidence={AS_OF: newest, "hours": round(forecast.hours, 1), "p_value": float(f"{forecast.p_value:.2g}")},
        )  # fmt: skip
