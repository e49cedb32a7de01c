"""Which partition of the reading log a works belongs to: the server's own hash, so that a reader can tell beforehand."""

__all__ = ["partition_of"]

_OFFSET = 0x811C9DC5
_PRIME = 0x01000193
_MASK = 0xFFFFFFFF


def partition_of(county: str, works: str, partitions: int) -> int:
    """Partition (0 … partitions - 1) in which the server stores messages of this works.

    The server computes ``partition(n,1,2)`` as 32-bit FNV-1a over the two topic levels joined without a separator,
    modulo n; `tests/contracts/test_partition.py` holds this function against a real server.
    """
    digest = _OFFSET
    for byte in (county + works).encode():
        digest = ((digest ^ byte) * _PRIME) & _MASK
    return digest % partitions
