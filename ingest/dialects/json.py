"""Dialect ``json``: ``{"t": time, "v": {parameter: value}}``, or a list of such objects (buffered upload).

``t`` is ISO 8601 text (without offset: the works' time zone) or epoch seconds or milliseconds. ``v`` maps parameter
codes, in any case, to numbers, numbers as text, truth values (state parameters) or "no value". Optional: ``q``, the device's
own quality code, one for all or per parameter (`ingest.values.device_flag`); ``u``, unit per parameter where it is not the
canonical one; ``seq``. Other keys are left alone. A key given twice in one object counts once, the last time.

The tokens ``NaN`` and ``Infinity`` are no JSON, but devices write them: the value is refused, the rest of the message kept.
"""

import json

import msgspec

from ingest.dialects.base import MAX_ITEMS, Dialect, Item, Plain, RawValue, Reject, Unfolded, child
from ingest.times import ZoneClock
from ingest.values import device_flag
from qingquan.domain.flags import Flag
from qingquan.domain.readings import QuarantineReason

__all__ = ["DIALECT", "decode"]


def decode(payload: bytes, clock: ZoneClock) -> Unfolded:
    """Everything in a payload, as items and rejects. Takes any bytes, never raises."""
    if not payload.strip():
        return _refused("", QuarantineReason.BAD_JSON, "the payload is empty")
    try:
        content = json.loads(payload.decode("utf-8-sig"), parse_int=_whole_number)
    except UnicodeDecodeError as error:
        return _refused("", QuarantineReason.BAD_JSON, f"not UTF-8 at byte {error.start}")
    except RecursionError:
        return _refused("", QuarantineReason.BAD_JSON, "nested too deeply")
    except ValueError as error:
        return _refused("", QuarantineReason.BAD_JSON, str(error)[:120])
    if isinstance(content, dict):
        return _unfolded([("", content)], clock)
    if not isinstance(content, list):
        return _refused(
            "", QuarantineReason.BAD_SHAPE, f"expected an object or a list of objects, {_kind(content)} found"
        )
    if not content:
        return _refused("", QuarantineReason.BAD_SHAPE, "the list is empty")
    if len(content) > MAX_ITEMS:
        return _refused("", QuarantineReason.BAD_SHAPE, f"{len(content)} objects in one message; at most {MAX_ITEMS}")
    return _unfolded([(f"[{number}]", item) for number, item in enumerate(content)], clock)


def _unfolded(objects: list[tuple[str, object]], clock: ZoneClock) -> Unfolded:
    found = Unfolded([], [])
    for position, content in objects:
        outcome = _item(position, content, clock, found.rejects)
        if isinstance(outcome, Reject):
            found.rejects.append(outcome)
        else:
            found.items.append(outcome)
    return found


def _item(position: str, content: object, clock: ZoneClock, rejects: list[Reject]) -> Item | Reject:
    if not isinstance(content, dict):
        return Reject(position, QuarantineReason.BAD_SHAPE, f"expected an object, {_kind(content)} found")
    parts = {key.lower(): value for key, value in content.items()} | content
    at = child(position, "t")
    observed_at = clock.ms(parts.get("t"))
    if isinstance(observed_at, str):
        return Reject(at, QuarantineReason.BAD_TIME, observed_at)
    values = parts.get("v")
    if not isinstance(values, dict):
        return Reject(
            child(position, "v"), QuarantineReason.BAD_SHAPE, f"expected an object of values, {_kind(values)} found"
        )
    if not values:
        return Reject(child(position, "v"), QuarantineReason.BAD_SHAPE, "no values in it")
    units = _units(parts.get("u"), values)
    if units is None:
        return Reject(child(position, "u"), QuarantineReason.BAD_SHAPE, "expected a unit or an object of units")
    flags = _flags(child(position, "q"), parts.get("q"), values, rejects)
    inside = child(position, "v")
    return Item(
        at,
        observed_at,
        [
            RawValue(
                child(inside, name), name, value, units.get(name.lower()), flags.get(name.lower(), Flag.NOT_EVALUATED)
            )
            for name, value in values.items()
        ],
    )


def _flags(position: str, codes: object, values: dict[str, object], rejects: list[Reject]) -> dict[str, Flag]:
    """Flag per parameter, in lower case. Codes that cannot be read make the values suspect, they do not lose them."""
    if codes is None:
        return {}
    if isinstance(codes, dict):
        return {name.lower(): device_flag(code) for name, code in codes.items()}
    if isinstance(codes, list):
        rejects.append(
            Reject(position, QuarantineReason.BAD_SHAPE, "expected a quality code or an object of codes, a list found")
        )
    return {name.lower(): device_flag(codes) for name in values}


def _units(units: object, values: dict[str, object]) -> dict[str, object] | None:
    """Unit per parameter, in lower case; ``None`` if they cannot be read, for then no value can be."""
    if units is None:
        return {}
    if isinstance(units, dict):
        return {name.lower(): unit for name, unit in units.items()}
    return {name.lower(): units for name in values} if isinstance(units, str) else None


def _refused(position: str, reason: QuarantineReason, detail: str) -> Unfolded:
    return Unfolded([], [Reject(position, reason, detail)])


def _whole_number(digits: str) -> int | float:
    """Python refuses to read very long integers; as floats they come out infinite and are refused by name."""
    return int(digits) if len(digits) < 20 else float(digits)


def _kind(content: object) -> str:
    names = {"dict": "an object", "list": "a list", "str": "text", "bool": "a truth value", "NoneType": "nothing"}
    return names.get(type(content).__name__, "a number")


DIALECT = Dialect("json", decode, msgspec.json.Decoder(Plain | list[Plain]).decode)
