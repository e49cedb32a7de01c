"""JSON schema of a ruleset, made from the same tables of keys that the reader goes by."""

from collections.abc import Iterable, Mapping
from typing import Any

from qingquan.domain.findings import Severity
from qingquan.domain.parameters import Parameter
from qingquan.domain.works import PointKind
from rules.condition_reader import CONDITION_KEYS, GROUPS, LIMIT_BOUNDS
from rules.conditions import AVERAGES
from rules.ruleset import (
    DEFAULTS,
    DISINFECTION_KEYS,
    INSTRUMENT_KEYS,
    RULE_KEYS,
    SEVERITY_WORDS,
    SILENCE_KEYS,
    TOP_KEYS,
)
from rules.table_reader import RESIDUALS

__all__ = ["ruleset_schema"]

Schema = dict[str, Any]
_NUMBER: Schema = {"type": "number"}
_AMOUNT: Schema = {"type": "number", "minimum": 0}
_WORD: Schema = {"type": "string", "minLength": 1}
_DAY: Schema = {"description": "a TOML day, as 2026-01-31", "type": "string", "format": "date"}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_COUNT: Schema = {"type": "integer", "minimum": 0}


def ruleset_schema(parameters: Mapping[str, Parameter]) -> Schema:
    """The schema (draft 2020-12) of a ruleset over these parameters.

    Raises
    ------
    KeyError
        If the reader knows a key that nothing is said about here.
    """
    signals: Schema = {"enum": ["residual", *parameters]}
    units: Schema = {"enum": sorted({parameter.unit for parameter in parameters.values()} | {"1"})}
    bound: Schema = {"anyOf": [_NUMBER, {"enum": list(LIMIT_BOUNDS)}]}
    severity: Schema = {"enum": [one.word for one in Severity]}
    kinds: Schema = {"enum": [kind.value for kind in PointKind]}
    tree: Schema = {"$ref": "#/$defs/condition"}
    operands: Schema = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"anyOf": [signals, _NUMBER]}}
    average: Schema = {"enum": list(AVERAGES), "description": "mean of the last whole clock hour or day at the works"}
    condition = {
        "signal": signals, "ratio": operands, "difference": operands, "above": bound, "below": bound, "unit": _WORD,
        "average": average, "clear_margin": _AMOUNT, "at": kinds,
    }  # fmt: skip
    rule = {
        "id": _WORD, "version": _WORD, "parameter": signals, "points": {"type": "array", "minItems": 1, "items": kinds},
        "above": bound, "below": bound, "unit": units, "average": average, "when": tree, "clear": tree, "clear_at": _NUMBER,
        "clear_margin": _AMOUNT, "for_min": _AMOUNT, "clear_for_min": _AMOUNT, "clear_samples": _COUNT, "min_coverage": _SHARE,
        "unknown_for_min": _AMOUNT, "severity": severity, "basis": _WORD, "valid_from": _DAY, "valid_to": _DAY,
        "title_zh": {"type": "string"}, "title_en": {"type": "string"},
    }  # fmt: skip
    groups = [
        _table({word: {"type": "array", "minItems": 1, "items": tree}}, (word,), needed=(word,)) for word in GROUPS
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Qingquan ruleset",
        "description": "docs/rules.md says what it means. Also refused, beyond this schema: see `qingquan rules check`.",
        **_table(
            {
                "version": _WORD, "standard": _WORD, "defaults": _table({key: rule[key] for key in DEFAULTS}, DEFAULTS),
                "rule": {"type": "array", "items": {"$ref": "#/$defs/rule"}},
                "test": {"type": "array", "items": {"type": "object"}},
                "disinfection": _disinfection(severity), "instrument": _severities(INSTRUMENT_KEYS, severity),
                "silence": _severities(SILENCE_KEYS, severity),
            },
            TOP_KEYS,
            needed=("version", "standard", "defaults", "disinfection", "instrument", "silence"),
        ),
        "$defs": {
            "rule": _table(rule, RULE_KEYS, needed=("id", "points", "severity", "basis")),
            "condition": {"anyOf": [*groups, _table(condition, CONDITION_KEYS)]},
        },
    }  # fmt: skip


def _table(known: Mapping[str, Schema], keys: Iterable[str], *, needed: Iterable[str] = ()) -> Schema:
    made: Schema = {"type": "object", "additionalProperties": False, "properties": {key: known[key] for key in keys}}
    return made | {"required": list(needed)} if needed else made


def _disinfection(severity: Schema) -> Schema:
    by_residual = _table(dict.fromkeys(RESIDUALS, _AMOUNT), RESIDUALS, needed=RESIDUALS)
    words = _table(dict.fromkeys(SEVERITY_WORDS, severity), SEVERITY_WORDS, needed=SEVERITY_WORDS)
    known = {
        key: words
        if key == "severity"
        else _COUNT
        if key == "clear_samples"
        else by_residual
        if key.endswith("_mg_l")
        else _AMOUNT
        for key in DISINFECTION_KEYS
    }
    return _table(known, DISINFECTION_KEYS, needed=DISINFECTION_KEYS)


def _severities(keys: tuple[str, ...], severity: Schema) -> Schema:
    return _table({key: severity if key.endswith("severity") else _AMOUNT for key in keys}, keys, needed=keys)
