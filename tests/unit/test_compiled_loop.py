"""After `compile_loop` nothing is left to compile: an evaluator that holds partitions must not stop to do so."""

import subprocess
import sys

from qingquan.packages import TREE

# A process of its own, as this one may have compiled anything before.
PROGRAM = """
import sys
from qingquan.services.compiled_loop import compile_loop

compile_loop()


def compiled():
    loops = {
        f"{name}.{label}": len(loop.signatures)
        for name, module in list(sys.modules.items()) if name.startswith("rules.")
        for label, loop in vars(module).items() if hasattr(loop, "signatures")
    }
    return {label: number for label, number in loops.items() if number}


before = compiled()
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of

account = Account(plan_of(*(make_works(f"W{n}") for n in range(3))))
account.feed(Row(slot, START + minute * MINUTE, 0.1 * (slot % 4)) for minute in range(120) for slot in range(8))
account.feed([Row(0, START, 0.4)])
assert len(account.flags) == 120 * 8 + 1, "it has judged"
print(len(before), {label for label, number in compiled().items() if before.get(label) != number})
"""


def test_judging_compiles_nothing_after_the_start() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=TREE, capture_output=True, text=True, timeout=300, check=True
    )
    number, _, more = done.stdout.strip().partition(" ")
    assert int(number) > 0
    assert more == "set()"
