"""The part of Grafana's dashboard schema that we use, as values; `Dashboard.as_json` is the only way out.

The classic schema is written because every Grafana from 10 to 13 loads it. Defaults of Grafana are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["DATASOURCE_UID", "Column", "Dashboard", "Panel", "Query", "Row", "Step", "Variable"]

DATASOURCE_UID = "qingquan-influx"
DATASOURCE = {"type": "influxdb", "uid": DATASOURCE_UID}
SCHEMA_VERSION = 39
GRID_WIDTH = 24

Json = dict[str, Any]


class Asked(Protocol):
    """A query of whatever data source."""

    @property
    def datasource(self) -> Json:
        """Type and uid of the source asked."""
        ...

    def as_json(self, number: int) -> Json:
        """The target as Grafana stores it."""
        ...


@dataclass(frozen=True, slots=True)
class Query:
    """An InfluxQL query. ``alias`` names the series, with ``$tag_<tag>`` and ``$col`` filled in by Grafana."""

    influxql: str
    table: bool = False
    alias: str = ""

    datasource = DATASOURCE

    def as_json(self, number: int) -> Json:
        """The target as Grafana stores it; queries of a panel are lettered A, B, C, ..."""
        return {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "rawQuery": True,
            "query": self.influxql,
            "resultFormat": "table" if self.table else "time_series",
            **({"alias": self.alias} if self.alias else {}),
        }


@dataclass(frozen=True, slots=True)
class Step:
    """From ``value`` on (inclusive), show ``colour``. ``None`` = from minus infinity on, needed as the first step."""

    value: float | None
    colour: str

    def as_json(self) -> Json:
        """The step as Grafana stores it."""
        return {"color": self.colour, "value": self.value}


@dataclass(frozen=True, slots=True)
class Column:
    """How one column of a table is shown. ``properties`` are Grafana's field properties by id."""

    name: str
    properties: dict[str, Any]

    def as_json(self) -> Json:
        """The field override as Grafana stores it."""
        return {
            "matcher": {"id": "byName", "options": self.name},
            "properties": [{"id": key, "value": value} for key, value in self.properties.items()],
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; sizes are in units of Grafana's grid, 24 wide."""

    kind: str
    title: str
    queries: Sequence[Asked]
    width: int = 12
    height: int = 8
    description: str = ""
    unit: str = ""
    decimals: int | None = None
    steps: Sequence[Step] = ()
    mappings: dict[str, tuple[str, str]] = field(default_factory=dict)
    no_value: str = ""
    low: float | None = None
    high: float | None = None
    custom: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    columns: Sequence[Column] = ()
    transformations: Sequence[Json] = ()

    def as_json(self, number: int, x: int, y: int) -> Json:
        """The panel as Grafana stores it, at its place in the grid."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": self.queries[0].datasource if self.queries else DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [query.as_json(n) for n, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._field_defaults(), "overrides": [c.as_json() for c in self.columns]},
            "options": self.options,
            "transformations": list(self.transformations),
        }

    def _field_defaults(self) -> Json:
        given = {
            "unit": self.unit or None,
            "decimals": self.decimals,
            "min": self.low,
            "max": self.high,
            "noValue": self.no_value or None,
            "custom": self.custom or None,
            "mappings": [_mapping(self.mappings)] if self.mappings else None,
            "thresholds": {"mode": "absolute", "steps": [s.as_json() for s in self.steps]} if self.steps else None,
        }
        return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, laid from left to right, wrapped at the grid's width."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the head of the dashboard: from a query, or from fixed ``choices`` (value -> text).

    ``default`` is what stands there before anyone chose.
    """

    name: str
    label: str
    influxql: str = ""
    choices: dict[str, str] = field(default_factory=dict)
    default: str = ""
    multi: bool = False

    def as_json(self) -> Json:
        """The variable as Grafana stores it."""
        text = self.choices.get(self.default, self.default)
        current = [text, self.default] if not self.multi else [[text], [self.default]]
        common = {
            "name": self.name,
            "label": self.label,
            "multi": self.multi,
            "includeAll": False,
            "current": {"text": current[0], "value": current[1]} if self.default else {},
        }
        if self.influxql:
            # refresh 2: again when the time range changes, since tag values come and go with it.
            return {
                **common,
                "type": "query",
                "datasource": DATASOURCE,
                "query": self.influxql,
                "refresh": 2,
                "sort": 1,
            }
        options = [{"text": t, "value": v, "selected": v == self.default} for v, t in self.choices.items()]
        query = ",".join(f"{text} : {value}" for value, text in self.choices.items())
        return {**common, "type": "custom", "query": query, "options": options}


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard; ``uid`` is its address, ``since`` the start of the time range shown first."""

    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]
    links: Sequence[Json] = ()
    since: str = "now-24h"
    refresh: str = "1m"

    def as_json(self) -> Json:
        """The dashboard as Grafana stores it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["qingquan"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "timezone": "browser",
            "time": {"from": self.since, "to": "now"},
            "refresh": self.refresh,
            "links": list(self.links),
            "templating": {"list": [variable.as_json() for variable in self.variables]},
            "panels": _laid_out(self.rows),
        }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    panels: list[Json] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": GRID_WIDTH, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []})  # fmt: skip
        x, y, line_height = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > GRID_WIDTH:
                x, y, line_height = 0, y + line_height, 0
            panels.append(panel.as_json(len(panels) + 1, x, y))
            x, line_height = x + panel.width, max(line_height, panel.height)
        y += line_height
    return panels


def _mapping(texts: dict[str, tuple[str, str]]) -> Json:
    options = {
        value: {"text": text, "color": colour, "index": n} for n, (value, (text, colour)) in enumerate(texts.items())
    }
    return {"type": "value", "options": options}
