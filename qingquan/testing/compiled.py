"""Compile the rule loop once, before many test processes start and each would do it for itself (some 40 s of processor time).

python -m qingquan.testing.compiled
"""

import time

from qingquan.testing.engine import START, Account, Row, make_works, plan_of

__all__ = ["compile_loop"]


def compile_loop() -> float:
    """Judge one reading; how long that took [s]. What is compiled is kept beside the source and found there from then on."""
    began = time.monotonic()
    Account(plan_of(make_works())).feed([Row(0, START, 0.4)])
    return time.monotonic() - began


if __name__ == "__main__":
    print("tests: compiling the rule loop, some 40 s the first time", flush=True)
    took_s = compile_loop()
    print(f"tests: rule loop ready after {took_s:.0f} s", flush=True)
