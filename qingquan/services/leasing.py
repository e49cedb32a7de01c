"""Keeps this process's leases: renews what it holds, takes what is free up to its fair share, offers back what is too much.

It runs in a thread of its own, because the thread that judges may be busy for longer than a lease lasts. It stops renewing when
that thread stands still, so that others can take over from a process that hangs.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import structlog

from qingquan.config import Config
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.store.reading_log.leases import Leases

__all__ = ["LeaseKeeper", "fair_share"]

LOOK_S = 0.2
COMPARE_S = 5.0
# Longer than anything the working thread does at a stretch, shorter than a duty officer's patience.
HANGS_S = 30.0
CLOSE_S = 5.0
# How long another member may judge by other rules before a start is refused: a new ruleset reaches all within seconds.
SETTLE_S = 8.0

_HOLDER = "holder"

_log = structlog.get_logger(__name__)


def fair_share(partitions: int, members: Sequence[str], me: str) -> int:
    """How many partitions a member owns when all know of each other: shares differ by one at most."""
    if me not in members:
        return 0
    share, rest = divmod(partitions, len(members))
    return share + (sorted(members).index(me) < rest)


@dataclass(slots=True)
class _Lease:
    number: int
    first: int
    sequence: int
    renewed_at: float
    is_offered: bool = False


class LeaseKeeper:
    """Leases of one service's partitions. Everything but the thread's own loop may be called from the working thread."""

    def __init__(self, config: Config, service: str, partitions: int, holder: str, facts: Mapping[str, str]) -> None:
        self._config = config
        self._service = service
        self._partitions = partitions
        self._holder = holder
        self._life_s = config.log_lease_s
        self._lock = threading.Lock()
        self._leases: dict[int, _Lease] = {}
        self._to_release: list[_Lease] = []
        self._facts = dict(facts)
        self._member: _Lease | None = None
        self._heart = time.monotonic()
        self._compare_due = 0.0
        self._differs_since: float | None = None
        self._is_told = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{service}-leases", daemon=True)

    async def check(self) -> None:
        """Refuse to join members that judge by other rules than we (`ConfigurationError`); and what `Leases.connect` refuses."""
        leases = await Leases.connect(self._config, f"{self._service}-leases", wait_s=1e9)
        try:
            deadline = time.monotonic() + SETTLE_S
            while other := await self._other(leases):
                if time.monotonic() > deadline:
                    raise ConfigurationError([_disagreement(self._service, self._facts, *other)])
                await asyncio.sleep(LOOK_S)
        finally:
            await leases.close()

    def start(self) -> None:
        """Begin to take leases."""
        self._thread.start()

    def stop(self) -> None:
        """Give everything back; waits a few seconds at most, what is not given back by then lapses."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def alive(self, facts: Mapping[str, str]) -> None:
        """The working thread has come round; ``facts`` are what it works by now."""
        self._heart = time.monotonic()
        with self._lock:
            self._facts = dict(facts)

    def held(self) -> dict[int, int]:
        """Partitions held for certain, and the sequence with which each was acquired."""
        now = time.monotonic()
        with self._lock:
            return {one.number: one.first for one in self._leases.values() if now - one.renewed_at < self._life_s}

    def offered(self) -> set[int]:
        """Partitions held that others should have: end the work, then `release`."""
        with self._lock:
            return {one.number for one in self._leases.values() if one.is_offered}

    def release(self, partition: int) -> None:
        """Give a partition back; nothing is written for it any more."""
        with self._lock:
            lease = self._leases.pop(partition, None)
            if lease is not None:
                self._to_release.append(lease)

    def _run(self) -> None:
        asyncio.run(self._keep())

    async def _keep(self) -> None:
        leases: Leases | None = None
        while not self._stopping.is_set():
            try:
                if leases is None:
                    leases = await Leases.connect(self._config, f"{self._service}-leases")
                await self._round(leases)
            except (BrokerLost, ConfigurationError) as error:
                _log.debug("leases not renewed", service=self._service, why=str(error))
            await asyncio.sleep(LOOK_S)
        if leases is not None:
            with suppress(TimeoutError, BrokerLost):
                await asyncio.wait_for(self._give_all_back(leases), CLOSE_S / 2)
            await leases.close()

    async def _round(self, leases: Leases) -> None:
        await self._give_back(leases)
        if time.monotonic() - self._heart > HANGS_S:
            _log.error("work stands still, leases are left to others", service=self._service)
            self._heart = time.monotonic()
            with self._lock:
                self._leases.clear()
            return
        await self._renew(leases)
        view = await leases.held(f"{self._service}.")
        members = [key.rpartition(".")[2] for key in view if key.startswith(f"{self._service}.member.")]
        share = fair_share(self._partitions, members, self._holder)
        with self._lock:
            mine = sorted(self._leases)
            # Who is not listed itself knows too little of the others to give anything away.
            for number in mine[share:] if self._holder in members else []:
                self._leases[number].is_offered = True
        if self._holder in members and len(mine) < share:
            await self._take(leases, view, share - len(mine), sorted(members).index(self._holder))
        if time.monotonic() >= self._compare_due:
            self._compare_due = time.monotonic() + COMPARE_S
            await self._compare(leases)

    async def _renew(self, leases: Leases) -> None:
        with self._lock:
            value = msgspec.json.encode(self._facts | {_HOLDER: self._holder})
            due = [one for one in self._leases.values() if self._is_due(one)]
        member_key = f"{self._service}.member.{self._holder}"
        renewed = await asyncio.gather(
            *(self._renewed(leases, self._key(one.number), value, one) for one in due), return_exceptions=True
        )
        with self._lock:
            for one, outcome in zip(due, renewed, strict=True):
                # No answer is no refusal: the lease may have been renewed, and counts until its time is up.
                if outcome is None or time.monotonic() - one.renewed_at >= self._life_s:
                    self._leases.pop(one.number, None)
        if self._member is None:
            began = time.monotonic()
            sequence = await leases.acquire(member_key, value)
            self._member = None if sequence is None else _Lease(-1, sequence, sequence, began)
        elif self._is_due(self._member):
            self._member = await self._renewed(leases, member_key, value, self._member)

    def _is_due(self, lease: _Lease) -> bool:
        return time.monotonic() - lease.renewed_at >= self._life_s / 3

    async def _renewed(self, leases: Leases, key: str, value: bytes, lease: _Lease) -> _Lease | None:
        began = time.monotonic()
        sequence = await leases.renew(key, value, lease.sequence)
        if sequence is None:
            # A renewal whose answer was lost has moved the sequence on: it is ours as long as our name stands there.
            found = await leases.entry(key)
            if found is None or _holder_of(found[1]) != self._holder:
                return None
            sequence = await leases.renew(key, value, found[0])
        if sequence is None:
            return None
        lease.sequence, lease.renewed_at = sequence, began
        return lease

    async def _take(self, leases: Leases, view: set[str], wanted: int, rank: int) -> None:
        free = [n for n in range(self._partitions) if self._key(n) not in view]
        # Members begin at different places, so that they do not race for the same ones.
        first = rank % max(len(free), 1)
        for number in free[first:] + free[:first]:
            if wanted <= 0:
                return
            began = time.monotonic()
            sequence = await leases.acquire(self._key(number), msgspec.json.encode({_HOLDER: self._holder}))
            if sequence is not None:
                wanted -= 1
                with self._lock:
                    self._leases[number] = _Lease(number, sequence, sequence, began)

    async def _give_back(self, leases: Leases) -> None:
        with self._lock:
            given, self._to_release = self._to_release, []
        for lease in given:
            await leases.release(lease.sequence)

    async def _give_all_back(self, leases: Leases) -> None:
        with self._lock:
            self._to_release += self._leases.values()
            self._leases = {}
        await self._give_back(leases)
        if self._member is not None:
            await leases.release(self._member.sequence)

    async def _compare(self, leases: Leases) -> None:
        other = await self._other(leases)
        if other is None:
            self._differs_since, self._is_told = None, False
            return
        self._differs_since = self._differs_since or time.monotonic()
        if not self._is_told and time.monotonic() - self._differs_since > SETTLE_S:
            self._is_told = True
            _log.error(_disagreement(self._service, self._facts, *other))

    async def _other(self, leases: Leases) -> tuple[str, dict[str, str]] | None:
        """A member that works by other facts than we, and these."""
        for key in sorted(await leases.held(f"{self._service}.member.")):
            name = key.rpartition(".")[2]
            found = await leases.entry(key) if name != self._holder else None
            with suppress(msgspec.DecodeError):
                facts = msgspec.json.decode(found[1] if found else b"{}", type=dict[str, str])
                facts.pop(_HOLDER, None)
                if any(facts[name] != self._facts.get(name) for name in facts):
                    return name, facts
        return None

    def _key(self, number: int) -> str:
        return f"{self._service}.part.{number}"


def _disagreement(service: str, ours: Mapping[str, str], other: str, theirs: Mapping[str, str]) -> str:
    differing = ", ".join(f"{name} {theirs[name]}" for name in theirs if theirs[name] != ours.get(name))
    own = ", ".join(f"{name} {ours.get(name, '?')}" for name in theirs if theirs[name] != ours.get(name))
    return (
        f"{service} {other} works by {differing}, this one by {own}: give all of them the same rules_file and version of "
        "qingquan, or put one ruleset in force for all: qingquan rules activate FILE --by NAME"
    )


def _holder_of(value: bytes) -> str | None:
    try:
        return msgspec.json.decode(value, type=dict[str, str]).get(_HOLDER)
    except msgspec.DecodeError:
        return None
