"""Quality flags of a reading, in the QARTOD vocabulary."""

from enum import IntEnum

__all__ = ["FLAG_PRECEDENCE", "Flag"]


class Flag(IntEnum):
    """QARTOD primary flag. The number is the code written to stores and files."""

    PASS = 1
    NOT_EVALUATED = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


# From weakest to strongest. A numeric maximum would let 9 hide 4.
FLAG_PRECEDENCE = (Flag.MISSING, Flag.NOT_EVALUATED, Flag.PASS, Flag.SUSPECT, Flag.FAIL)
