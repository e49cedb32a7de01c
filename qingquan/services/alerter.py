"""The alerter: relays the outbox to the channels until it is told to stop.

Each channel has a thread of its own, so that one that hangs or is throttled never holds up the other. The database may come
and go; what a provider said meanwhile is kept and written first when it is back.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from alerts.answerable import with_answers
from alerts.channels.base import Channel
from alerts.channels.build import build_channels, check_channels, missing, secret_file_faults, sms_codes
from alerts.messages import AlertSettings
from alerts.outbox import Relay, decline
from alerts.passing_on import pass_on
from alerts.policy import WECOM_ROBOT
from alerts.quotas import load_quotas
from alerts.stand_in import needing_another_way, stand_in
from qingquan.config import Config
from qingquan.errors import ConfigurationError, StoreUnavailable
from qingquan.services.alive import beat
from qingquan.services.escalating import Escalator
from qingquan.services.restart_hold import RestartHold
from qingquan.store.sql.budgets import SqlTokens
from qingquan.store.sql.delivery import has_redundant, unheard_rungs, withdraw_stood_in
from qingquan.store.sql.engine import check_schema, open_database, reading, writing

__all__ = ["channels_of", "refuse_open_secrets", "run", "serve"]

PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
BEAT_S = 5.0
WRITTEN_AT_ONCE = 25
"""Messages or incidents dealt with in one transaction, so that an alarm does not wait for more of them."""
WRITE_PAUSE_S = 0.005

T = TypeVar("T")

_log = structlog.get_logger("alerter")


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; exit status 0. Attempts under way are finished and written down first.

    Raises
    ------
    ConfigurationError
        If the database's schema is not this version's, or the channels, their texts or budgets are faulty.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve(config, stop)
    return 0


def serve(config: Config, stop: threading.Event) -> None:
    """The service without signal handling."""
    engine = open_database(config.sql_url)
    channels = channels_of(config, engine)
    failed: list[BaseException] = []
    held = RestartHold(config, engine).held
    threads = [
        threading.Thread(target=_relayed, args=(held(step), stop, failed), name=name)
        for name, step in _steps(config, engine, channels).items()
    ]
    threads.append(
        threading.Thread(target=_relayed, args=(held(Escalator(config, engine).step), stop, failed), name="ladders")
    )
    try:
        _insisted(partial(check_schema, engine), stop)
        _log.info("alerter_started", channels=[name for name, channel in channels.items() if channel is not None])
        for thread in threads:
            thread.start()
        while not stop.is_set():
            beat(config, "alerter")
            stop.wait(BEAT_S)
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        for channel in channels.values():
            if channel is not None:
                channel.close()
        engine.dispose()
    if failed:
        raise failed[0]


def channels_of(config: Config, engine: Engine) -> dict[str, Channel | None]:
    """All channels by name; ``None`` where the settings leave one off.

    Raises
    ------
    ConfigurationError
        With everything that stands against the channels, their texts and budgets, all at once.
    """
    faults = check_channels(config)
    if faults:
        raise ConfigurationError(faults)
    return with_answers(build_channels(config, SqlTokens(engine)), engine, config)


def refuse_open_secrets(config_file: Path | None) -> None:
    """Raise `ConfigurationError` where the settings file holds secrets and others may read it."""
    if config_file is not None and (faults := secret_file_faults(config_file)):
        raise ConfigurationError(faults)


def _steps(config: Config, engine: Engine, channels: dict[str, Channel | None]) -> dict[str, Callable[[], int]]:
    """One round of everything that goes on, by name; each returns how many messages it dealt with."""
    clock, quotas = config.clock, load_quotas(config.quotas_file)
    worker = f"{socket.gethostname()}:{os.getpid()}"
    steps: dict[str, Callable[[], int]] = {}
    for name, channel in channels.items():
        if channel is None:
            continue
        can_merge = name not in ("aliyun_sms", "tencent_sms") or bool(
            sms_codes(config, name.partition("_")[0])["several"]
        )
        relay = Relay(
            engine, channel, clock.now_ms, worker=f"{worker}:{name}", scale=clock.speed, language=config.language,
            limits=quotas.get(name, ()), can_merge=can_merge,
        )  # fmt: skip
        steps[name] = partial(_total, relay)
    style = AlertSettings.from_config(config).style
    off = {
        name: f"channel {name} is not set up: {', '.join(missing(config, name))} empty"
        for name, channel in channels.items()
        if channel is None
    }

    def decline_all() -> int:
        return decline(engine, off, clock.now_ms())

    def other_ways() -> int:
        now = clock.now_ms()
        with reading(engine) as connection:
            is_redundant, needing = has_redundant(connection), needing_another_way(connection, now, clock.speed)
        if is_redundant:
            with writing(engine) as connection:
                # What this called off is no reason to look again at once.
                withdraw_stood_in(connection)
        count = 0
        for ids in _parts(needing):
            with writing(engine) as connection:
                count += stand_in(connection, ids, now, clock.speed, config.language)
        return count

    def passed_on() -> int:
        now = clock.now_ms()
        with reading(engine) as connection:
            unheard = sorted({incident for incident, _, _ in unheard_rungs(connection, now, WECOM_ROBOT)})
        count = 0
        for incidents in _parts(unheard):
            with writing(engine) as connection:
                needing = needing_another_way(connection, now, clock.speed, incidents)
                count += stand_in(connection, needing, now, clock.speed, config.language)
                count += pass_on(connection, now, style, incidents)
        return count

    return {**steps, "off": decline_all, "other-ways": other_ways, "passing-on": passed_on}


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Some at a time; in between others may write."""
    for start in range(0, len(numbers), WRITTEN_AT_ONCE):
        if start:
            time.sleep(WRITE_PAUSE_S)
        yield numbers[start : start + WRITTEN_AT_ONCE]


def _total(relay: Relay) -> int:
    return relay.step().total()


def _relayed(step: Callable[[], int], stop: threading.Event, failed: list[BaseException]) -> None:
    """Go on with a channel until told to stop. A programming error ends the whole service: its supervisor starts it anew."""
    try:
        while not stop.is_set():
            if not _insisted(step, stop):
                stop.wait(PAUSE_S)
    except BaseException as error:
        failed.append(error)
        stop.set()


def _insisted(action: Callable[[], T], stop: threading.Event) -> T | None:
    """Do what needs the database, again and again until it answers; ``None`` when told to stop before."""
    pause_s = PAUSE_S
    while not stop.is_set():
        try:
            return action()
        except StoreUnavailable as error:
            _log.warning("database_unavailable", why=str(error), pause_s=pause_s)
            stop.wait(pause_s * Random().uniform(0.5, 1.5))  # noqa: S311 (jitter)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
    return None
