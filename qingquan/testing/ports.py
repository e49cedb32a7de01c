"""Ports for servers of tests, without the race between asking for a free one and using it.

Each test process hands out ports of a range of its own, below those the system gives to others, and none twice. A port that
is in use all the same is passed over.
"""

import itertools
import os
import socket

__all__ = ["free_port"]

FIRST, RANGE, PROCESSES = 12_000, 2_000, 10

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
# Runs that follow each other begin at different places: a port just left may still be closing.
_offsets = itertools.count(os.getpid() * 37 % RANGE)


def free_port() -> int:
    """A port on 127.0.0.1 that no other test process will be given."""
    for _ in range(RANGE):
        port = FIRST + _worker * RANGE + next(_offsets) % RANGE
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port among the {RANGE} of this test process")
