"""One entry of the register by the id that people and programs use."""

from fastapi import HTTPException

from dashboards.web.layout import Console
from qingquan.domain.works import Works
from qingquan.errors import NotFound

__all__ = ["one_works"]


def one_works(console: Console, id: str) -> Works:
    """A works by its id, or by ``county:id``.

    Raises
    ------
    NotFound
        If there is none.
    HTTPException
        Status 409 where several counties use the id.
    """
    county, _, works = id.rpartition(":")
    if county:
        found = console.data.one_works(county, works)
        if found is None:
            raise NotFound(f"works {works} in county {county}")
        return found
    fitting = [entry for entry in console.data.works() if entry.id == works]
    if not fitting:
        raise NotFound(f"works {works}")
    if len(fitting) > 1:
        counties = [f"{entry.county}:{works}" for entry in fitting]
        raise HTTPException(409, f"several counties have a works {works}: ask for {' or '.join(counties)}")
    return fitting[0]
