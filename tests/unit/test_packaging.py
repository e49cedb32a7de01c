"""The tree on disk is the tree in `import`, and nobody else owns a name of ours."""

import re
import shutil
import site
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from qingquan.packages import DISTRIBUTION, ROOT_PACKAGES, TREE, name_clashes

PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (TREE / ".git").exists():
        pytest.skip("not a git checkout: the list of the repository's files is not known")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TREE, capture_output=True, check=True, text=True).stdout
    return [TREE / name for name in listed.split("\0") if name and (TREE / name).is_file()]


def test_every_root_package_belongs_to_this_tree_alone() -> None:
    assert name_clashes() == []


def test_another_distribution_that_owns_a_root_package_is_named() -> None:
    clashes = name_clashes({"rules": ["rules", DISTRIBUTION], "alerts": [DISTRIBUTION]})
    assert clashes == ["package 'rules' also belongs to rules: uninstall it from this environment"]


def test_a_root_package_that_lies_elsewhere_is_named(tmp_path: Path) -> None:
    clashes = name_clashes({}, tree=tmp_path)
    assert len(clashes) == len(ROOT_PACKAGES)
    assert f"package 'rules' is imported from {TREE / 'rules'}" in "\n".join(clashes)


def test_packages_are_listed_explicitly_and_the_list_is_the_one_that_is_guarded() -> None:
    found = PROJECT["tool"]["setuptools"]["packages"]["find"]
    assert found["include"] == [f"{name}*" for name in ROOT_PACKAGES]
    assert PROJECT["tool"]["importlinter"]["root_packages"] == list(ROOT_PACKAGES)
    assert PROJECT["tool"]["mypy"]["packages"] == list(ROOT_PACKAGES)
    assert all(
        (TREE / name / "__init__.py").is_file() and (TREE / name / "py.typed").is_file() for name in ROOT_PACKAGES
    )


def test_the_distribution_can_not_be_uploaded_by_mistake() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


def test_tests_form_no_package_that_could_shadow_another_one() -> None:
    assert not list((TREE / "tests").rglob("__init__.py"))


def test_the_editable_install_is_a_plain_path_line_and_no_import_hook() -> None:
    lines = {
        path: path.read_text(encoding="utf-8").splitlines()
        for folder in site.getsitepackages()
        for path in Path(folder).glob(f"__editable__*{DISTRIBUTION}*.pth")
    }
    if not lines:
        pytest.skip("the project is not installed here: it runs from its tree")
    assert list(lines.values()) == [[str(TREE)]]


def test_every_direct_dependency_is_locked_with_a_digest() -> None:
    lock = (TREE / "requirements" / "runtime.lock").read_text(encoding="utf-8")
    wanted = {re.split(r"[\[<>=~! ]", line)[0] for line in PROJECT["project"]["dependencies"]}
    locked = dict(re.findall(r"^([A-Za-z0-9_.-]+)==\S+ (?:; [^\\]+)?\\\n    --hash=(sha256):", lock, re.MULTILINE))
    assert wanted - set(locked) == set()


def test_no_file_names_a_path_outside_the_repository() -> None:
    # Spelled in pieces, so that this file itself is no finding.
    elsewhere = re.compile(
        "|".join(
            (r"/wo" + r"rk/(?:main|shared|\.)", r"/ro" + r"ot/", r"/ho" + r"me/(?!qingquan)\w", r"/Us" + r"ers/\w")
        )
    )
    findings = [
        f"{path.relative_to(TREE)}: {match.group()}"
        for path in tracked_files()
        if path.suffix not in (".png", ".jpg", ".xlsx", ".gz", ".lock")
        for match in elsewhere.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert findings == []


def test_an_interpreter_that_is_too_old_is_refused_in_one_line() -> None:
    script = f"""
import runpy, sys
sys.version_info = (3, 9, 2, "final", 0)
sys.argv = ["install.py"]
runpy.run_path({str(TREE / "requirements" / "install.py")!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Python 3.11 or newer" in done.stderr
    assert "is 3.9" in done.stderr
