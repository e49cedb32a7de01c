"""Mutation check of the engine: change one place of `rules/` at a time and see whether a test notices.

    python tests/tools/mutation.py --tree FOLDER --seed 1 --per-module 8 --out mutants.json

``--tree`` is a checkout of its own (`git worktree add --detach FOLDER`): source files there are overwritten and put back. A first run
records which test enters which function; each mutant then meets only the tests that enter the mutated function, fastest first,
in a forked process. Compiled functions are not seen by a tracer: their tests are those of the function that calls into them, and
they are compiled anew for every mutant. Why not mutmut or cosmic-ray: docs/quality.md.
"""

import argparse
import ast
import ctypes
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
# Module of compiled functions -> module whose functions the tests enter.
ENTERED_BY = {
    "rules/kernel.py": "rules/engine.py",
    "rules/compound.py": "rules/engine.py",
    "rules/layout.py": "rules/engine.py",
    "rules/ordering.py": "rules/engine.py",
    "rules/events/kernel.py": "rules/events/detector.py",
    "rules/events/layout.py": "rules/events/detector.py",
    "rules/quality/qartod.py": "rules/quality/assess.py",
}
COMPILING = {"compiled", "inlined", "njit"}
SKIPPED = ("compiling.py", "__init__.py", "schema.py")
QUIET = (
    "-q",
    "--timeout=0",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--hypothesis-seed=0",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
HEAVY = (
    "numpy",
    "numba",
    "scipy.optimize",
    "scipy.stats",
    "hypothesis",
    "pytest",
    "sqlalchemy",
    "msgspec",
    "structlog",
)


class Mutant(NamedTuple):
    """One changed place: ``start:end`` (characters) of ``module`` becomes ``text``."""

    module: str
    function: str
    is_compiled: bool
    line: int
    start: int
    end: int
    was: str
    text: str


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be changed to."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=right):
            for n, op in enumerate(ops):
                if type(op) in COMPARISONS:
                    yield ast.Compare(left, [*ops[:n], COMPARISONS[type(op)](), *ops[n + 1 :]], right)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            yield ast.BinOp(left, ARITHMETIC[type(op)](), right)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            yield from (ast.BoolOp(op, values[:n] + values[n + 1 :]) for n in range(len(values)) if len(values) > 2)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.IfExp(test=test, body=body, orelse=other):
            yield ast.IfExp(test, other, body)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(value=float(value)):
            yield ast.Constant(value * 1.5 if value else 1.0)
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Break():
            yield ast.Pass()


class Site(NamedTuple):
    """A mutant with the node it replaces and the node it puts there."""

    mutant: Mutant
    node: ast.expr | ast.stmt
    other: ast.AST


def sites_of(module: str, source: str, tree: ast.Module) -> list[Site]:
    """Every mutant of a module; text, annotations, decorators and what is said in an exception are left alone."""
    lines = source.splitlines(keepends=True)
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line))
    found: list[Site] = []

    def place(line: int, column: int) -> int:
        return begins[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def note(node: ast.expr | ast.stmt, function: str, is_compiled: bool) -> None:
        start, end = (
            place(node.lineno, node.col_offset),
            place(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset),
        )
        for other in changes(node):
            text = ast.unparse(other)
            text = text if isinstance(other, ast.Pass | ast.Constant) else f"({text})"
            mutant = Mutant(module, function, is_compiled, node.lineno, start, end, source[start:end], text)
            found.append(Site(mutant, node, other))

    def walk(node: ast.AST, function: str, is_compiled: bool) -> None:
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.AnnAssign):
            value = node.value if isinstance(node, ast.AnnAssign) else None
            if value is not None:
                walk(value, function, is_compiled)
            return
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = f"{function}.{node.name}".lstrip(".")
            words = {word.id for one in node.decorator_list for word in ast.walk(one) if isinstance(word, ast.Name)}
            for statement in node.body:
                walk(statement, name, is_compiled or bool(words & COMPILING))
            return
        if isinstance(node, ast.expr | ast.stmt):
            note(node, function, is_compiled)
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.arguments):
                walk(child, function, is_compiled)

    walk(tree, "", module in ENTERED_BY)
    return found


def may_be_switched(site: Site, source: str) -> bool:
    """Whether both versions of a place have one type: no place in a tuple of arrays, no whole number that becomes a fraction."""
    is_index = isinstance(site.node, ast.Constant) and source[site.mutant.start - 1] == "["
    is_fraction = isinstance(site.other, ast.BinOp) and isinstance(site.other.op, ast.Div)
    return bool(site.mutant.function) and not is_index and not is_fraction


class Switched(ast.NodeTransformer):
    """Puts mutants into a module beside what they replace, each behind a switch of its number."""

    def __init__(self, sites: list[Site]) -> None:
        self.sites: dict[int, list[tuple[int, ast.AST]]] = {}
        for number, site in enumerate(sites):
            self.sites.setdefault(id(site.node), []).append((number, site.other))

    def visit(self, node: ast.AST) -> ast.AST:
        found = self.sites.get(id(node), [])
        self.generic_visit(node)
        for number, other in found:
            switch = ast.Call(ast.Name("_is_on"), [ast.Constant(number)], [])
            if isinstance(node, ast.stmt):
                node = ast.If(ast.UnaryOp(ast.Not(), switch), [node], [])
            else:
                assert isinstance(other, ast.expr)
                assert isinstance(node, ast.expr)
                node = ast.IfExp(switch, other, node)
        return node


def switch() -> ctypes.c_int64:
    """The number of the mutant that is on, in memory that compiled code looks at; readable as module ``mutant_switch``."""
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba import njit, types
    from numba.extending import intrinsic

    cell = ctypes.c_int64(-1)
    address = ctypes.addressof(cell)

    @intrinsic
    def load(_context: Any, _at: Any) -> Any:
        def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))

        return types.int64(types.int64), code

    @njit
    def is_on(number: int) -> bool:
        return load(address) == number  # type: ignore[call-arg]

    module = ModuleType("mutant_switch")
    vars(module)["is_on"] = is_on
    sys.modules["mutant_switch"] = module
    return cell


def judge_switched(
    root: Path, chosen: list[Site], tests_for: Callable[[Mutant], list[str]], warm: list[str], limit: int
) -> Iterator[tuple[Mutant, str]]:
    """Compile all mutants of compiled modules in one go, then turn on one after the other, each in a process of its own."""
    cell = switch()
    texts = {}
    for module in {site.mutant.module for site in chosen}:
        file = root / module
        texts[file] = file.read_text(encoding="utf-8")
        tree = ast.parse(texts[file])
        # Sites belong to the tree that is changed: found again by their place.
        here = {(one.mutant.start, one.mutant.end, one.mutant.text): one for one in sites_of(module, texts[file], tree)}
        mine = [
            here[site.mutant.start, site.mutant.end, site.mutant.text] if site.mutant.module == module else site
            for site in chosen
        ]
        changed = tree
        Switched(mine).visit(changed)
        first = next(
            n
            for n, one in enumerate(changed.body)
            if isinstance(one, ast.ImportFrom) and one.module in ("rules.layout", "rules.compiling", "numba")
        )
        changed.body.insert(first, ast.parse("from mutant_switch import is_on as _is_on").body[0])
        file.write_text(ast.unparse(ast.fix_missing_locations(changed)), encoding="utf-8")
    try:
        if run_tests(warm) != 0:
            raise SystemExit("the tests fail without any mutant turned on")
        for number, site in enumerate(chosen):

            def work(number: int = number, mutant: Mutant = site.mutant) -> int:
                cell.value = number
                return run_tests(tests_for(mutant))

            status = forked(work, limit)
            yield site.mutant, "timeout" if status is None else "survived" if status == 0 else "killed"
    finally:
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")


def mutants_of(module: str, source: str) -> list[Mutant]:
    """The mutants alone."""
    return [site.mutant for site in sites_of(module, source, ast.parse(source))]


class Recorder:
    """Pytest plugin: which functions of `rules/` each test enters, and how long it takes."""

    def __init__(self, root: Path) -> None:
        self.prefix = str(root) + "/"
        self.entered: dict[str, set[str]] = {}
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self.now: set[str] = set()

    def _trace(self, frame: Any, _event: str, _argument: Any) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self.prefix + "rules/"):
            function = code.co_qualname.replace(".<locals>", "").split(".<")[0]
            self.now.add(f"{code.co_filename.removeprefix(self.prefix)}:{function}")

    def pytest_runtest_setup(self, item: Any) -> None:
        self.now = self.entered.setdefault(item.nodeid, set())
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    def pytest_runtest_logreport(self, report: Any) -> None:
        sys.settrace(None)
        threading.settrace(None)
        if report.when == "setup":
            threading.settrace(self._trace)
            sys.settrace(self._trace)
        if report.when == "call":
            self.seconds[report.nodeid] = report.duration
        if report.failed or report.skipped:
            self.failed.add(report.nodeid)


def run_tests(arguments: list[str]) -> int:
    """Status of pytest; the first failure ends it, and Hypothesis spends no time on a smaller example."""
    import pytest
    from hypothesis import Phase, settings

    settings.register_profile("mutants", phases=(Phase.explicit, Phase.reuse, Phase.generate), deadline=None)
    settings.load_profile("mutants")
    return int(pytest.main(["-x", *QUIET, *arguments]))


def forked(work: Callable[[], int], seconds: int) -> int | None:
    """Exit status of ``work`` in a process of its own, silent; None if it takes more than ``seconds`` of processor time.

    Not of the clock: a mutant must not count as killed because the machine is busy.
    """
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(null, stream)
        status = 1
        try:
            status = work()
        finally:
            os._exit(status)
    _, ended = os.waitpid(pid, 0)
    status = os.waitstatus_to_exitcode(ended)
    return None if status in (-signal.SIGXCPU, -signal.SIGKILL) else status


def record(root: Path, files: list[str], out: Path) -> dict[str, Any]:
    """Which tests enter which function: {function: [test, fastest first]}, remembered in ``out``."""
    if not out.exists():

        def work() -> int:
            recorder = Recorder(root)
            import pytest

            pytest.main([*QUIET, *files], [recorder])
            by_function: dict[str, list[str]] = {}
            for test, functions in sorted(recorder.entered.items(), key=lambda one: recorder.seconds.get(one[0], 99.0)):
                for function in functions if test not in recorder.failed else ():
                    by_function.setdefault(function, []).append(test)
            passed = {test: took for test, took in recorder.seconds.items() if test not in recorder.failed}
            out.write_text(json.dumps({"tests": by_function, "seconds": passed}))
            return 0

        forked(work, 3600)
        for cache in (root / "rules").rglob("__pycache__"):
            shutil.rmtree(cache)
    read: dict[str, Any] = json.loads(out.read_text())
    return read


def tests_of(mutant: Mutant, root: Path, known: dict[str, list[str]], seconds: dict[str, float]) -> list[str]:
    """The tests to hold a mutant against: of a compiled function those whose file names its module, then in order of length."""
    own = known.get(f"{mutant.module}:{mutant.function}", [])
    if own and not mutant.is_compiled:
        return own
    # Constants, nested and compiled functions: whoever enters the module, or the one that calls into it.
    dotted = mutant.module.removesuffix(".py").replace("/", ".")
    spoken = re.compile(rf"{dotted}\b|from {dotted.rpartition('.')[0]} import [^\n]*\b{dotted.rpartition('.')[2]}\b")
    naming = {
        str(file.relative_to(root)) for file in (root / "tests").rglob("test_*.py") if spoken.search(file.read_text())
    }
    direct = [test for test in seconds if mutant.is_compiled and test.partition("::")[0] in naming]
    module = ENTERED_BY.get(mutant.module, mutant.module)
    entering = [test for name, tests in known.items() if name.startswith(module + ":") for test in tests]
    return list(dict.fromkeys(direct + sorted(entering, key=lambda test: seconds.get(test, 99.0))))


def judge(mutant: Mutant, root: Path, tests: list[str], limit: int) -> str:
    """What became of one mutant: killed, survived, timeout (counts as killed) or not entered."""
    if not tests:
        return "not entered"
    file = root / mutant.module
    source = file.read_text(encoding="utf-8")
    cache = tempfile.mkdtemp(prefix="mutant-") if mutant.is_compiled else ""

    def work() -> int:
        if cache:
            import numba

            vars(numba.config)["CACHE_DIR"] = cache
        return run_tests(tests)

    file.write_text(source[: mutant.start] + mutant.text + source[mutant.end :], encoding="utf-8")
    try:
        status = forked(work, limit)
    finally:
        file.write_text(source, encoding="utf-8")
        if cache:
            shutil.rmtree(cache, ignore_errors=True)
    return "timeout" if status is None else "survived" if status == 0 else "killed"


def sample(root: Path, seed: int, per_module: int, per_compiled: int, only: list[str]) -> list[Mutant]:
    """A seeded sample of each module, independent of the other modules."""
    chosen: list[Mutant] = []
    for file in sorted((root / "rules").rglob("*.py")):
        module = str(file.relative_to(root))
        if file.name in SKIPPED or (only and not any(module.startswith(one) for one in only)):
            continue
        every = mutants_of(module, file.read_text(encoding="utf-8"))
        count = per_compiled if module in ENTERED_BY else per_module
        chosen += random.Random(f"{seed}:{module}").sample(every, min(count, len(every)))
    # Mixed, so that a run that is stopped early has seen something of every module.
    random.Random(seed).shuffle(chosen)
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tests", nargs="*", default=["tests/unit", "tests/properties"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-module", type=int, default=8)
    parser.add_argument("--per-compiled", type=int, default=8)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument(
        "--switched", nargs="*", default=[], help="modules of compiled functions to compile once with all mutants"
    )
    parser.add_argument(
        "--first", nargs="*", default=[], help="tests every switched mutant meets first; they also warm up the compiler"
    )
    parser.add_argument("--map", type=Path)
    parser.add_argument("--limit", type=int, default=200, help="seconds of processor time a mutant may take")
    given = parser.parse_args()
    root = given.tree.resolve()
    if (root / ".git").is_dir():
        print(f"{root} is no worktree of its own: its files would be overwritten", file=sys.stderr)
        return 2
    os.chdir(root)
    os.environ["PYTHONPATH"] = str(root)
    sys.path[:] = [str(root), *(one for one in sys.path if one not in ("", str(root)))]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(root / ".numba"))
    for name in HEAVY:
        __import__(name)
    known = record(root, given.tests, (given.map or given.out.with_suffix(".map.json")).resolve())
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    results: list[dict[str, object]] = []
    out = given.out.resolve()

    def tell(mutant: Mutant, outcome: str) -> None:
        results.append({**mutant._asdict(), "outcome": outcome})
        print(f"{outcome:11} {mutant.module}:{mutant.line}  {mutant.was!r} -> {mutant.text!r}", flush=True)
        out.write_text(json.dumps(results, indent=1))

    if given.switched:
        chosen = []
        for module in given.switched:
            source = (root / module).read_text(encoding="utf-8")
            every = [one for one in sites_of(module, source, ast.parse(source)) if may_be_switched(one, source)]
            chosen += random.Random(f"{given.seed}:{module}").sample(every, min(given.per_compiled, len(every)))
        first = list(given.first)

        def tests_for(mutant: Mutant) -> list[str]:
            return list(dict.fromkeys(first + tests_of(mutant, root, known["tests"], known["seconds"])))

        with tempfile.TemporaryDirectory() as cache:
            vars(__import__("numba").config)["CACHE_DIR"] = cache
            for mutant, outcome in judge_switched(root, chosen, tests_for, first, given.limit):
                tell(mutant, outcome)
        return 0
    for mutant in sample(root, given.seed, given.per_module, given.per_compiled, given.only):
        tell(mutant, judge(mutant, root, tests_of(mutant, root, known["tests"], known["seconds"]), given.limit))
    return 0


if __name__ == "__main__":
    sys.exit(main())
