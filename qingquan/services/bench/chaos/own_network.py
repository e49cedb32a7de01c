"""Network and mounts of a run's own: the command starts itself again inside them, so that nothing of the machine is touched."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

from qingquan.services.bench.chaos.network import MARK
from qingquan.services.bench.chaos.processes import end_with

__all__ = ["in_own_network"]

TOOLS = ("unshare", "nsenter", "ip", "mount")
TRY = "ip link set lo up && ip link add qq-try type bridge && mount -t tmpfs tmpfs /mnt && umount /mnt"


def in_own_network(arguments: Sequence[str]) -> int | None:
    """Run ``python -m qingquan`` with these arguments in namespaces of its own, and wait; its exit status.

    ``None`` where we are in them already, or where they cannot be had: then the caller goes on with stand-ins.
    """
    if os.environ.get(MARK) or sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, TOOLS)):
        return None
    alone = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    if subprocess.run([*alone, "sh", "-c", TRY], capture_output=True, check=False).returncode:
        return None
    command = 'ip link set lo up; exec "$@"'
    program = [sys.executable, "-m", "qingquan", *arguments]
    # Whoever ends this process ends `unshare`, and with that everything inside.
    done = subprocess.run(
        [*alone, "sh", "-c", command, "sh", *program], env={**os.environ, MARK: "1"}, check=False,
        preexec_fn=partial(end_with, os.getpid()),
    )  # fmt: skip
    return done.returncode
