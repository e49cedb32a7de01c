"""What a measurement was taken on, and what processes used meanwhile. Read from /proc; elsewhere unknown stays unknown."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qingquan.store.reading_log.binary import server_binary

__all__ = ["command", "cpu_s", "descendants", "describe", "rss_mb"]

PACKAGES = ("numpy", "numba", "msgspec", "duckdb", "natsrpy", "sqlalchemy")


def describe() -> dict[str, object]:
    """Processor, cores, memory, system and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "nats_server": _server_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def rss_mb(process: int | None = None) -> float | None:
    """Resident memory of a process [MB], of this one by default."""
    for line in _lines(Path(f"/proc/{process or os.getpid()}/status")):
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None


def cpu_s(process: int) -> float:
    """Processor time a process has used so far, in user and kernel [s]; 0 where that cannot be known."""
    lines = _lines(Path(f"/proc/{process}/stat"))
    if not lines:
        return 0.0
    fields = lines[0].rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(process: int) -> str:
    """Name of the program a process runs; ``?`` where that cannot be known."""
    return next(iter(_lines(Path(f"/proc/{process}/comm"))), "?")


def descendants(process: int) -> list[int]:
    """The processes a process has started, and theirs."""
    found: list[int] = []
    for line in _lines(Path(f"/proc/{process}/task/{process}/children")):
        for child in map(int, line.split()):
            found += [child, *descendants(child)]
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _processor() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 2**20, 1)
    return None


def _server_version() -> str:
    try:
        answer = subprocess.run([str(server_binary()), "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return "?"
    return answer.stdout.strip().rpartition(" ")[2] or "?"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"
