"""A service is ready once the process that is asked about has said so; no other word counts."""

import os
import subprocess
import sys
from pathlib import Path

from qingquan.config import Config
from qingquan.services import ready
from qingquan.services.supervisor import Supervisor
from qingquan.services.topology import Part
from qingquan.services.up import has_said_ready

SAYS_READY = "from qingquan.config import Config; from qingquan.services import ready; ready.say(Config(data_dir={folder!r}), 'web')"


def test_who_says_it_is_ready_and_nobody_else(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path / "data"))
    assert not ready.is_ready(config, "web", os.getpid())
    ready.say(config, "web")
    assert ready.is_ready(config, "web", os.getpid())
    assert not ready.is_ready(config, "web", os.getpid() + 1)
    assert not ready.is_ready(config, "log-server", os.getpid())
    assert [file.name for file in (tmp_path / "data" / "run").iterdir()] == ["web.ready"]
    ready.clear(config, "web")
    assert not ready.is_ready(config, "web", os.getpid())
    ready.clear(config, "web")


def test_a_file_that_says_nothing_is_no_word(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path))
    ready.say(config, "web")
    for content in (b"", b"1", b"\xff\xfe\n", str(os.getpid()).encode()[:-1] + b"\n"):
        (tmp_path / "run" / "web.ready").write_bytes(content)
        assert not ready.is_ready(config, "web", os.getpid()), content


def test_the_word_of_a_process_that_has_ended_is_not_that_of_its_successor(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path))
    subprocess.run([sys.executable, "-c", SAYS_READY.format(folder=str(tmp_path))], check=True)
    assert (tmp_path / "run" / "web.ready").exists()
    supervisor = Supervisor(os.environ, tmp_path / "log")
    part = Part("web", "web", config)
    child = supervisor.start("web", "--help")
    try:
        assert child.process is not None
        assert not has_said_ready(part, child)
        (tmp_path / "run" / "web.ready").write_text(f"{child.process.pid}\n")
        assert has_said_ready(part, child)
        child.process.wait(60)
        supervisor.watch()
        assert not has_said_ready(part, child), "it has ended"
    finally:
        supervisor.stop()
