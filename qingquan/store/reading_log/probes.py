"""What can be seen of ports and processes from outside."""

import json
import socket
import subprocess
from pathlib import Path

__all__ = ["answers", "command_line", "is_free", "server_name_at"]


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def answers(host: str, port: int) -> bool:
    """Whether someone listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def server_name_at(port: int) -> str | None:
    """Name in the greeting of the NATS server on this port; ``None`` when there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link, link.makefile("rb") as stream:
            word, _, text = stream.readline().partition(b" ")
            greeting = json.loads(text) if word == b"INFO" else {}
    except (OSError, ValueError):
        return None
    name = greeting.get("server_name")
    return name if isinstance(name, str) and greeting.get("jetstream") else None


def command_line(pid: int) -> str:
    """Command line of a process, empty when it is gone."""
    known = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return known.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
    return shown.stdout
