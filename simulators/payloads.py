"""What the devices put on the wire: dialect ``json``, one object per reading, lists of them for an upload."""

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta, timezone

from qingquan.clock import from_ms
from qingquan.domain.flags import Flag
from qingquan.domain.readings import Topic
from simulators.instruments import INSTRUMENTS
from simulators.simulation import Record, Sending, Simulation

__all__ = ["MAX_PAYLOAD_BYTES", "Payloads"]

MAX_PAYLOAD_BYTES = 60_000  # brokers here refuse more than 64 KB, headers included
BEIJING = timezone(timedelta(hours=8))


class Payloads:
    """Turns what a simulation sends into topics and payloads."""

    def __init__(self, simulation: Simulation) -> None:
        senders, works = simulation.senders, simulation.works
        self._senders = senders
        self._topics = [Topic(works[s.works].county, works[s.works].id, s.point, "json") for s in senders]
        self._templates = [_template(s.parameters) for s in senders]
        self._is_iso = [bool(simulation.is_iso[s.works]) for s in senders]

    def of(self, sending: Sending) -> Iterator[tuple[int, Topic, bytes]]:
        """Time of sending [ms], topic and payload, in order of time."""
        values, flags = sending.value.tolist(), sending.flag
        # Most readings are plain numbers: those with a code or without a value take the long way.
        marked = set(self._marked(sending))
        uploads = iter(sorted(sending.uploads, key=lambda upload: upload[1]))
        upload = next(uploads, None)
        for s, at, observed in zip(
            sending.live.tolist(), sending.live_at.tolist(), sending.live_observed.tolist(), strict=True
        ):
            while upload is not None and upload[1] <= at:
                yield from self._upload(*upload)
                upload = next(uploads, None)
            sender = self._senders[s]
            first, last = sender.first, sender.last
            if s in marked:
                record = Record(observed, tuple(values[first:last]), tuple(flags[first:last].tolist()))
                yield at, self._topics[s], self._object(s, record)
            else:
                yield (
                    at,
                    self._topics[s],
                    (self._templates[s] % (self._time(s, observed), *values[first:last])).encode(),
                )
        while upload is not None:
            yield from self._upload(*upload)
            upload = next(uploads, None)

    def _marked(self, sending: Sending) -> Iterator[int]:
        odd = sending.flag != int(Flag.NOT_EVALUATED)
        if odd.any():
            yield from (s for s in sending.live.tolist() if odd[self._senders[s].first : self._senders[s].last].any())

    def _upload(self, s: int, at: int, records: Sequence[Record]) -> Iterator[tuple[int, Topic, bytes]]:
        """Kept readings as lists, oldest first, as many messages as their size asks for."""
        part: list[bytes] = []
        size = 2
        for record in records:
            item = self._object(s, record)
            if part and size + len(item) + 1 > MAX_PAYLOAD_BYTES:
                yield at, self._topics[s], b"[" + b",".join(part) + b"]"
                part, size = [], 2
            part.append(item)
            size += len(item) + 1
        yield at, self._topics[s], b"[" + b",".join(part) + b"]"

    def _object(self, s: int, record: Record) -> bytes:
        sender = self._senders[s]
        cells = ",".join(
            f'"{code}":{_number(value, code)}' for code, value in zip(sender.parameters, record.values, strict=True)
        )
        codes = ",".join(
            f'"{code}":{flag}'
            for code, flag in zip(sender.parameters, record.flag, strict=True)
            if flag not in (Flag.NOT_EVALUATED, Flag.MISSING)
        )
        quality = f',"q":{{{codes}}}' if codes else ""
        return f'{{"t":{self._time(s, record.observed_at)},"v":{{{cells}}}{quality}}}'.encode()

    def _time(self, s: int, ms: int) -> str | int:
        if self._is_iso[s]:
            return f'"{from_ms(ms).astimezone(BEIJING).isoformat(timespec="seconds")}"'
        return ms


def _number(value: float, code: str) -> str:
    return "null" if math.isnan(value) else f"{value:.{INSTRUMENTS[code].decimals}f}"


def _template(parameters: Sequence[str]) -> str:
    cells = ",".join(f'"{code}":%.{INSTRUMENTS[code].decimals}f' for code in parameters)
    return f'{{"t":%s,"v":{{{cells}}}}}'
