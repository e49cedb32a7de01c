"""Prepares `.venv`: needs Python >= 3.11 and a package index, nothing else.

    python3 requirements/install.py [runtime|dev]

Every package is locked with its digests. uv installs them, because it takes seconds where pip takes a minute; where
uv cannot be had, pip does it. A second run finds the stamp of the first and ends at once. Older Pythons must be
able to read this file in order to be refused in one line, hence no newer syntax in it.
"""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"
PROFILES = {"runtime": "runtime.lock", "dev": "dev.lock"}
OLDEST = (3, 11)


class SetupFailed(Exception):
    """Set-up cannot go on; the text is what the person reads."""


def main(arguments: list) -> int:
    """Do every step that the stamp does not show as done; returns the exit status."""
    profile = arguments[0] if arguments else "runtime"
    if len(arguments) > 1 or profile not in PROFILES:
        print("usage: install.py [runtime|dev]", file=sys.stderr)
        return 2
    try:
        refuse_old_python()
        install(profile)
    except SetupFailed as failure:
        print(f"set-up: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: stopped; run it again to go on", file=sys.stderr)
        return 130
    return 0


def refuse_old_python() -> None:
    """Stop where the interpreter is older than the code can be read by."""
    if sys.version_info[:2] < OLDEST:
        found = "{}.{}".format(*sys.version_info[:2])
        raise SetupFailed(
            f"Qingquan needs Python 3.11 or newer, {sys.executable} is {found}; name another: make PYTHON=python3.12 demo"
        )


def install(profile: str) -> None:
    """Bring `.venv` to what the lock of the profile says."""
    stamp = VENV / f".installed-{profile}"
    wanted = digest(profile)
    if PYTHON.exists() and read(stamp) == wanted:
        return
    started = time.monotonic()
    make_venv()
    installer = choose_installer()
    lock = LOCKS / PROFILES[profile]
    packages = sum(line[:1].isalnum() for line in read(lock).splitlines())
    say(f"3/4 {packages} packages of requirements/{lock.name} (the first time this takes the longest)")
    must([*installer, "--require-hashes", "-r", lock], "the packages")
    say("4/4 this project")
    must([*installer, "--require-hashes", "-r", LOCKS / "build.txt"], "the build tool")
    must([*installer, "--no-deps", "--no-build-isolation", "-e", ROOT], "this project")
    stamp.write_text(wanted, encoding="utf-8")
    say(f"ready after {time.monotonic() - started:.0f} s")


def make_venv() -> None:
    """Create `.venv`, unless one that works stands there."""
    say("1/4 virtual environment .venv (Python {}.{})".format(*sys.version_info[:2]))
    if PYTHON.exists() and run([PYTHON, "-c", f"import sys; sys.exit(sys.version_info[:2] < {OLDEST})"])[0]:
        return
    done, output = run([sys.executable, "-m", "venv", "--clear", VENV])
    if not done:
        hint = " (on Debian and Ubuntu: apt-get install python3-venv)" if "ensurepip" in output else ""
        raise SetupFailed(f"cannot create .venv{hint}: {last_line(output)}")


def choose_installer() -> list:
    """The command that installs packages: uv at its locked version, else pip."""
    say("2/4 installer")
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    done, output = run([*pip, "--require-hashes", "-r", LOCKS / "uv.txt"])
    if done:
        done, output = run([BIN / "uv", "--version"])
    if done:
        return [BIN / "uv", "pip", "install", "-q", "--python", PYTHON]
    say(f"    uv cannot be used ({last_line(output)}); pip installs instead, more slowly")
    return pip


def digest(profile: str) -> str:
    """What the stamp of a finished set-up holds: a digest of everything that decides what is installed."""
    seen = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    for path in (LOCKS / PROFILES[profile], LOCKS / "build.txt", LOCKS / "uv.txt", ROOT / "pyproject.toml"):
        seen.update(read(path).encode())
    return seen.hexdigest()


def read(path: Path) -> str:
    """Text of a file, empty where there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def run(command: list) -> tuple:
    """Run a command; whether it succeeded, and all it printed."""
    # The caller's own virtual environment or module path must not leak into ours.
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    words = [str(word) for word in command]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run(words, cwd=str(ROOT), env=environment, check=False, **streams)
    except OSError as error:
        return False, str(error)
    return done.returncode == 0, done.stdout.decode("utf-8", "replace")


def must(command: list, what: str) -> None:
    """Run a command that has to succeed."""
    done, output = run(command)
    if not done:
        print(output, file=sys.stderr)
        raise SetupFailed(f"cannot install {what}; the installer's own words stand above")


def last_line(output: str) -> str:
    """The line of an installer's output that names the trouble."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def say(text: str) -> None:
    """One progress line."""
    print(f"set-up: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
