"""The root packages of this application and the guard of their names.

`rules`, `alerts` and other root packages bear names that distributions on package indexes bear too. Another owner of
such a name in the same environment would have its code run in place of ours, in part or whole; so the start checks
that every root package is ours alone.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

__all__ = ["DISTRIBUTION", "ROOT_PACKAGES", "TREE", "name_clashes"]

DISTRIBUTION = "qingquan"
ROOT_PACKAGES = ("qingquan", "ingest", "rules", "alerts", "ledgers", "dashboards", "simulators")
TREE = Path(__file__).resolve().parent.parent


def name_clashes(owners: Mapping[str, Sequence[str]] | None = None, tree: Path = TREE) -> list[str]:
    """One line per root package that another distribution also owns or that is imported from elsewhere.

    ``owners`` maps import names to distributions, by default those installed in this environment.
    """
    owners = packages_distributions() if owners is None else owners
    faults = []
    for name in ROOT_PACKAGES:
        strangers = sorted(set(owners.get(name, ())) - {DISTRIBUTION})
        if strangers:
            faults.append(
                f"package {name!r} also belongs to {', '.join(strangers)}: uninstall it from this environment"
            )
        origin = _folder_of(name)
        if origin != tree / name:
            faults.append(f"package {name!r} is imported from {origin}, not from {tree / name}: put {tree} first")
    return faults


def _folder_of(name: str) -> Path | None:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]).resolve()
