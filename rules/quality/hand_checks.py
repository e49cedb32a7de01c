"""An instrument held against measurements by hand: in tolerance, in doubt, or failed. Pure.

One comparison out of tolerance may be the hand sample's fault and puts the instrument in doubt; two in a row are the instrument's, and
people measure until one agrees again. Only a comparison that agrees ends it: a repair by itself proves nothing.
"""

from collections.abc import Sequence

from qingquan.domain.quality import HandCheck, InstrumentCheck, Trust

__all__ = ["FAILED_AFTER", "instrument_check"]

FAILED_AFTER = 2


def instrument_check(point: str, parameter: str, checks: Sequence[HandCheck]) -> InstrumentCheck | None:
    """How an instrument stands by its comparisons, in any order; ``None`` without one."""
    newest_first = tuple(sorted(checks, key=lambda one: one.at, reverse=True))
    if not newest_first:
        return None
    in_a_row = next((n for n, one in enumerate(newest_first) if not one.is_out), len(newest_first))
    if in_a_row == 0:
        return InstrumentCheck(point, parameter, Trust.VERIFIED, newest_first[0].at, 0, newest_first)
    trust = Trust.FAILED if in_a_row >= FAILED_AFTER else Trust.UNVERIFIED
    return InstrumentCheck(point, parameter, trust, newest_first[in_a_row - 1].at, in_a_row, newest_first)
