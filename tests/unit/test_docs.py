"""Documents name what exists."""

import re
import tomllib

import pytest

from qingquan.packages import ROOT_PACKAGES, TREE

PAGES = sorted([*TREE.glob("*.md"), *(TREE / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(TREE)) for page in PAGES]


def text_of(name: str) -> str:
    return (TREE / name).read_text(encoding="utf-8")


def locked_versions() -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text_of("requirements/dev.lock"), re.MULTILINE):
        versions.setdefault(name, set()).add(version)
    return versions


@pytest.mark.parametrize("name", NAMES)
def test_every_link_to_a_page_of_ours_leads_somewhere(name: str) -> None:
    links = re.findall(r"(?<!!)\[[^\]]*\]\(([^)#]+)", text_of(name))
    ours = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in ours if not (TREE / name).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_test_file_named_in_a_document_exists(name: str) -> None:
    named = re.findall(r"tests/\w+/test_\w+\.py", text_of(name))
    assert [path for path in named if not (TREE / path).is_file()] == []


def test_every_direct_dependency_has_its_reason_and_its_locked_version() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))
    extras = [one for extra in project["project"]["optional-dependencies"].values() for one in extra]
    wanted = [*project["project"]["dependencies"], *extras, *project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=~! ]", line)[0] for line in wanted}
    rows = dict(
        re.findall(r"^\| ([\w-]+) \| ([\d./ ]+) \|", text_of("docs/decisions/0003-dependencies.md"), re.MULTILINE)
    )
    assert set(rows) == names
    locked = locked_versions()
    assert {name: set(shown.split(" / ")) for name, shown in rows.items()} == {name: locked[name] for name in names}


def test_every_decision_stands_in_the_list() -> None:
    listed = text_of("docs/decisions/0001-record-decisions.md")
    pages = sorted(page.name for page in (TREE / "docs/decisions").glob("*.md"))
    assert [page for page in pages[1:] if f"]({page})" not in listed] == []
    assert [page[:4] for page in pages] == [f"{n:04}" for n in range(1, len(pages) + 1)]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_map_of_the_repository_names_every_root_package(name: str) -> None:
    assert [package for package in ROOT_PACKAGES if f"| `{package}/` |" not in text_of(name)] == []


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_a_reader_learns_early_that_there_is_no_log_in(name: str) -> None:
    assert re.search(r"no log-in|Not yet there: log-in|还没有：登录", text_of(name))


def test_every_make_target_in_a_document_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    named = {
        target
        for page in NAMES
        for target in re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", text_of(page), re.MULTILINE)
    }
    assert {first or second for first, second in named} - targets == set()


def test_the_glossary_explains_each_word_once_in_order() -> None:
    words = re.findall(r"^\| ([^|]+) \| [^|]*[\u4e00-\u9fff][^|]* \|", text_of("docs/glossary.md"), re.MULTILINE)
    assert words[0] == "English"
    assert len(words) > 50
    assert words[1:] == sorted(set(words[1:]), key=str.lower)
