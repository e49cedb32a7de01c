"""An outlook as the JSON that is stored, shown on pages and given by the API: one set of numbers for all three."""

import math
from typing import Any

from qingquan.domain.findings import DisinfectionState
from qingquan.domain.parameters import Parameter
from qingquan.domain.works import Works
from rules.advice import Contact, DecayOutlook, Outlook, Strength, Surroundings
from rules.advice_words import short_action, short_verdict, state_sentence
from rules.contact_time import Inactivation
from rules.ct_required import CtReason
from rules.stock import StockOutlook
from rules.trend import Forecast, forecast_sentence

__all__ = ["document_of"]

HOUR_MS = 3_600_000


def document_of(works: Works, known: Surroundings, outlook: Outlook, residual: Parameter) -> dict[str, Any]:
    """Sections ``verdict, stock, strength, contact, decay, forecast`` (null where there is none) and ``unknown``: why."""
    return {
        "as_of": known.now,
        "state": known.state.value,
        "residual_parameter": residual.code,
        "unit": residual.unit,
        "low_limit": _rounded(known.low),
        "verdict": _verdict(works, known.state, outlook, residual),
        "stock": _stock(outlook.stock, known),
        "strength": _strength(outlook.strength),
        "contact": _contact(outlook.contact),
        "decay": _decay(outlook.decay),
        "forecast": _forecast(outlook.forecast, known.now, residual),
        "unknown": {section: why.value for section, why in outlook.unknown.items()},
    }


def _verdict(works: Works, state: DisinfectionState, outlook: Outlook, residual: Parameter) -> dict[str, Any] | None:
    if outlook.verdict is None:
        return None
    verdict, path = outlook.verdict, outlook.path
    sentences = {
        f"sentence_{language}": state_sentence(
            state, verdict, outlook.known, residual.code, language, is_hand_logged=works.is_hand_logged
        )
        for language in ("zh", "en")
    }
    return {
        "cause": verdict.cause.value, "leaning": verdict.leaning.value, "act_within_h": verdict.act_within_h,
        "missing": list(verdict.missing), "shape": path.shape.value, "before": _rounded(path.before), "now": _rounded(path.now),
        "fall_hours": _rounded(path.fall_hours), **sentences,
        "short_zh": short_verdict(verdict, "zh"), "short_en": short_verdict(verdict, "en"),
        "action_zh": short_action(verdict, "zh"), "action_en": short_action(verdict, "en"),
    }  # fmt: skip


def _stock(stock: StockOutlook, known: Surroundings) -> dict[str, Any]:
    volume = known.facts.tank_volume_l
    litres = None if volume is None or stock.level is None else volume * stock.level / 100.0
    return {
        "reason": stock.reason.value, "days": _rounded(stock.days), "days_low": _rounded(stock.days_low),
        "days_high": _rounded(stock.days_high), "level_percent": _rounded(stock.level),
        "use_percent_per_day": _rounded(stock.use_per_day), "refills": stock.refills, "litres_left": _rounded(litres),
    }  # fmt: skip


def _strength(strength: Strength | None) -> dict[str, Any] | None:
    if strength is None:
        return None
    share = None if strength.now_g_l is None else strength.now_g_l / strength.initial_g_l
    return {
        "delivered_at": strength.delivered_at, "initial_g_l": strength.initial_g_l, "now_g_l": _rounded(strength.now_g_l),
        "share": _rounded(share), "age_days": _rounded(strength.age_days), "temperature_c": strength.temperature_c,
        "is_temperature_assumed": strength.is_assumed,
    }  # fmt: skip


def _contact(contact: Contact | None) -> dict[str, Any] | None:
    if contact is None:
        return None
    organisms = {
        organism.value: _inactivation(found, contact.wanted[organism]) for organism, found in contact.by_table.items()
    }
    giardia = next((wanted for organism, wanted in contact.wanted.items() if organism.value == "giardia"), 3.0)
    return {
        "residual": _rounded(contact.residual), "temperature_c": _rounded(contact.temperature), "ph": _rounded(contact.ph),
        "segments": [
            {"name": one.name, "t10_min": _rounded(one.t10_min), "ct": _rounded(one.ct)} for one in contact.segments
        ],
        **organisms,
        "giardia_regression": None if contact.by_regression is None else _inactivation(contact.by_regression, giardia),
    }  # fmt: skip


def _inactivation(found: Inactivation, wanted: float) -> dict[str, Any]:
    achieved, ratio = _rounded(float(found.achieved[0])), _rounded(float(found.ratio[0]))
    required = None if not achieved or not ratio else _rounded(achieved / ratio)
    return {
        "wanted_log": wanted, "ratio": ratio, "log": _rounded(float(found.log[0])), "ct_achieved": achieved,
        "ct_required": required, "reason": CtReason(int(found.reason[0])).name.lower(),
    }  # fmt: skip


def _decay(decay: DecayOutlook | None) -> dict[str, Any] | None:
    if decay is None:
        return None
    fit = decay.fit
    return {
        "reason": fit.reason.value, "rate_per_day": _rounded(fit.rate), "rate_low": _rounded(fit.rate_low),
        "rate_high": _rounded(fit.rate_high), "is_decaying": bool(fit.is_decaying), "pairs": fit.samples, "hours": decay.hours,
        "outlet": _rounded(decay.outlet), "expected": _rounded(decay.expected), "expected_low": _rounded(decay.low),
        "expected_high": _rounded(decay.high), "measured": _rounded(decay.measured), "measured_at": decay.measured_at,
        "is_within": decay.is_within,
    }  # fmt: skip


def _forecast(forecast: Forecast | None, now: int, residual: Parameter) -> dict[str, Any] | None:
    if forecast is None:
        return None
    return {
        "hours": _rounded(forecast.hours), "hours_low": _rounded(forecast.hours_low), "hours_high": _rounded(forecast.hours_high),
        "level": _rounded(forecast.level), "limit": forecast.limit, "slope_per_h": _rounded(forecast.slope_per_h),
        "p_value": forecast.p_value, "at": now + round(forecast.hours * HOUR_MS),
        "sentence_zh": forecast_sentence(forecast, residual.short_zh, residual.unit, "zh"),
        "sentence_en": forecast_sentence(forecast, residual.name_en, residual.unit, "en"),
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    """Four significant digits: what the data can carry, and what JSON can say (no NaN)."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")
