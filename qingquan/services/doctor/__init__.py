"""`qingquan doctor`: what is installed, reachable and missing, each in one line. It changes nothing.

The one trace it leaves is the message of the reading log's self-test, which decoders drop.
"""

from collections.abc import Callable, Sequence
from functools import partial

from qingquan.config import Config
from qingquan.errors import QingquanError
from qingquan.services.doctor import machine, parts
from qingquan.services.doctor.check import Check, State
from qingquan.services.doctor.text import lines

__all__ = ["Check", "State", "examine", "lines"]


def examine(config: Config) -> list[Check]:
    """All checks, in the order in which one mends things. Never raises."""
    checks: Sequence[tuple[str, Callable[[], list[Check]]]] = (
        ("python", machine.python),
        ("packages", machine.packages),
        ("modules", machine.modules),
        ("nats_server", partial(machine.nats_server, config)),
        ("clock", partial(machine.clock, config)),
        ("data_folder", partial(machine.data_folder, config)),
        ("ports", partial(machine.ports, config)),
        ("standards", parts.standards),
        ("ruleset", partial(parts.ruleset, config)),
        ("database", partial(parts.database, config)),
        ("reading_log", partial(parts.reading_log, config)),
        ("series_store", partial(parts.series_store, config)),
        ("bridge", partial(parts.bridge, config)),
        ("channels", partial(parts.channels, config)),
        ("programs", machine.programs),
    )
    return [check for name, work in checks for check in _guarded(name, work)]


def _guarded(name: str, work: Callable[[], list[Check]]) -> list[Check]:
    try:
        return work()
    except QingquanError as error:
        return [Check(name, State.FAULT, "; ".join(str(error).splitlines()))]
    except Exception as error:
        # Whatever is broken on a machine, the other checks must still be made.
        return [Check(name, State.FAULT, f"{type(error).__name__}: {error}")]
