"""Compiles the loop of the rules before an evaluator takes anything on.

The first start of a version compiles for seconds on a quick machine and for minutes on a busy one; later starts load the result. An evaluator
that did so at its first message would hold its partitions and judge nothing meanwhile, and look as if it hung.

python -m qingquan.services.compiled_loop
"""

import time
from collections.abc import Callable

import numpy as np
import structlog

from qingquan.config import Config
from qingquan.domain.readings import ReadingBatch
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.services.compiling import compile_apart, set_up_for_loops, work_apart
from qingquan.services.rulesets import load_ruleset
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from rules.engine import evaluate
from rules.plan import compile_plan
from rules.state import new_state

__all__ = ["compile_loop", "compile_loop_apart"]

# Worth a line in the log.
LONG_S = 10.0
READ_AT_MS = 1_780_272_000_000

_log = structlog.get_logger(__name__)


def compile_loop() -> None:
    """Judge one reading of a works that nobody has. What kinds of works and rules there are makes no difference to the code."""
    point = SamplingPoint("outlet", PointKind.OUTLET, "outlet", ("free_chlorine",))
    works = Works(
        county="000000", id="none", name="none", township="", disinfectant=Disinfectant.FREE_CHLORINE,
        equipment=Equipment.EQUIPPED, capacity_m3_d=100.0, population=1, points=(point,),
    )  # fmt: skip
    parameters = load_standards().parameters
    plan = compile_plan((works,), parameters, load_profiles().binding, load_ruleset(Config()))
    one = np.zeros(1, np.int64)
    batch = ReadingBatch(
        one.astype(np.int32), one + READ_AT_MS, np.full(1, 0.5), np.full(1, 2, np.uint8), one, one + READ_AT_MS
    )
    evaluate(batch, np.zeros(1, np.int32), new_state(plan), plan, parameters, READ_AT_MS)


def compile_loop_apart(is_unwanted: Callable[[], bool] = lambda: False) -> None:
    """Have a process of its own compile it unless that is done, and load what came of it. Ends early once ``is_unwanted()``."""
    began = time.monotonic()
    compile_apart("qingquan.services.compiled_loop", "rules.kernel", is_unwanted)
    if is_unwanted():
        return
    set_up_for_loops()
    compile_loop()
    took_s = time.monotonic() - began
    if took_s > LONG_S:
        _log.info("rules compiled", took_s=round(took_s, 1))


if __name__ == "__main__":
    work_apart(compile_loop)
