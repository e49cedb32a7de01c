"""How docker compose reads its files: variables, the example of the environment, the command that is installed."""

import re
import shutil
import subprocess

from qingquan.packages import TREE

__all__ = ["compose_command", "example", "interpolated"]


def interpolated(value: str, environ: dict[str, str]) -> str:
    """A value as compose fills it in: ``${NAME:-default}`` and ``${NAME:?text}``."""

    def fill(match: re.Match[str]) -> str:
        found = environ.get(match["name"], "")
        assert found or match["kind"] != ":?", match["rest"]
        return found or (match["rest"] if match["kind"] == ":-" else "")

    return re.sub(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<rest>[^}]*))?\}", fill, value)


def example() -> dict[str, str]:
    """Variables of `.env.example` and their values."""
    lines = (TREE / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose_command() -> list[str] | None:
    """``docker compose`` or ``docker-compose``; ``None`` where neither is installed."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    alone = shutil.which("docker-compose")
    return [alone] if alone else None
