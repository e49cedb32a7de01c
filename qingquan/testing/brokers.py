"""Outside MQTT brokers for tests: Debian's Mosquitto, and a NATS server that knows nothing of the reading log."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

from qingquan.store.reading_log.binary import server_binary
from qingquan.testing.ports import free_port

__all__ = ["Mosquitto", "OutsideBroker", "PlainNats"]


class OutsideBroker:
    """A broker as a child process on a free port of its own, which it keeps over restarts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @staticmethod
    def missing() -> str:
        """Why this broker cannot be had here; empty if it can."""
        return ""

    def start(self) -> None:
        """Start and wait until it takes connections."""
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError((self._folder / "output").read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """End it in order, so that it keeps its sessions; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(15)

    def _command(self) -> list[str]:
        raise NotImplementedError


class Mosquitto(OutsideBroker):
    """Mosquitto with sessions on disk and an unbounded queue for absent clients."""

    @staticmethod
    def missing() -> str:
        return "" if _mosquitto() else "mosquitto is not installed (Debian package mosquitto)"

    def _command(self) -> list[str]:
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\n"
            f"persistence_location {self._folder}/\nautosave_interval 1\nmax_queued_messages 0\n"
        )
        return [_mosquitto(), "-c", str(configuration)]


class PlainNats(OutsideBroker):
    """NATS with MQTT as it comes; it repeats what was not acknowledged after one second."""

    def _command(self) -> list[str]:
        configuration = self._folder / "nats.conf"
        configuration.write_text(
            f'server_name: outside\nlisten: "127.0.0.1:-1"\njetstream {{ store_dir: {json.dumps(str(self._folder / "js"))} }}\n'
            f'mqtt {{ listen: "127.0.0.1:{self.port}", ack_wait: "1s" }}\n'
        )
        return [str(server_binary()), "-c", str(configuration)]


def _mosquitto() -> str:
    return shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") or ""
