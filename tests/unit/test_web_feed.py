"""The county feed: worst first, changes only, and never a fine state when the store is silent."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dashboards.web import feed as feed_module
from dashboards.web import page_county
from dashboards.web.county_rows import changes, headline, row_data, tiles
from dashboards.web.example import ExampleData
from dashboards.web.example_county import COUNTY, make_county
from dashboards.web.feed import STATE_ORDER, CountyFeed, row_rank
from dashboards.web.texts import texts_in
from qingquan.clock import Clock
from qingquan.domain.findings import DisinfectionState
from qingquan.domain.state import WorksState
from qingquan.errors import StoreUnavailable

NOW = 1_777_600_000_000
ZH = texts_in("zh")


class Switchable(ExampleData):
    """A store that can be switched off."""

    is_off = False

    def states(self, region: str = "") -> Sequence[WorksState]:
        if self.is_off:
            raise StoreUnavailable("off")
        return super().states(region)


@pytest.fixture
def data() -> Switchable:
    return Switchable(make_county(NOW, works=80))


@pytest.fixture
def feed(data: Switchable, monkeypatch: pytest.MonkeyPatch) -> CountyFeed:
    monkeypatch.setattr(feed_module, "REFRESH_S", 0.0)
    return CountyFeed(data, Clock())


def test_only_what_changed_is_told(data: Switchable, feed: CountyFeed) -> None:
    first = asyncio.run(feed.view(COUNTY))
    data.put_state(replace(data.county.states["W0010"], residual=0.123))
    second = asyncio.run(feed.view(COUNTY))
    assert len(first.rows_after(0)) == 80
    assert [row.works.id for row in second.rows_after(first.number)] == ["W0010"]


def test_a_works_never_judged_is_unknown(data: Switchable, feed: CountyFeed) -> None:
    del data.county.states["W0001"]
    state = asyncio.run(feed.view(COUNTY)).rows["W0001"].state
    assert (state.disinfection, state.stale, state.as_of) == (DisinfectionState.UNKNOWN, True, None)


def test_when_the_store_is_silent_the_last_view_stands_and_says_so(data: Switchable, feed: CountyFeed) -> None:
    first = asyncio.run(feed.view(COUNTY))
    data.is_off = True
    lost = asyncio.run(feed.view(COUNTY))
    assert (lost.is_live, lost.rows, lost.read_at) == (False, first.rows, first.read_at)
    assert lost.number > first.number
    assert "数据服务没有应答" in str(changes(lost, first.number, ZH, "Asia/Shanghai")["lost"])
    data.is_off = False
    assert asyncio.run(feed.view(COUNTY)).is_live


def test_a_store_that_never_answered_shows_no_works_rather_than_fine_ones(data: Switchable, feed: CountyFeed) -> None:
    data.is_off = True
    view = asyncio.run(feed.view(COUNTY))
    assert (view.is_live, dict(view.rows), view.as_of) == (False, {}, None)


def test_the_worse_state_ranks_first_and_a_fine_works_with_trouble_before_the_unknown(feed: CountyFeed) -> None:
    view = asyncio.run(feed.view(COUNTY))
    bare = [replace(row, worst=None) for row in view.rows.values()]
    ranks = {row.state.disinfection: row_rank(row) for row in bare}
    order = sorted(ranks, key=lambda state: ranks[state])
    assert order == [state for state in STATE_ORDER if state in ranks]
    fine = next(row for row in view.rows.values() if row.state.disinfection is DisinfectionState.OK)
    trouble = replace(fine, worst=next(iter(view.findings.values())))
    assert ranks[DisinfectionState.HIGH if DisinfectionState.HIGH in ranks else DisinfectionState.LOW] < row_rank(
        trouble
    )
    assert row_rank(trouble) < ranks[DisinfectionState.UNKNOWN]


def test_the_headline_counts_what_the_tiles_count(feed: CountyFeed) -> None:
    view = asyncio.run(feed.view(COUNTY))
    missing = view.counts[DisinfectionState.MISSING]
    assert f"{missing} 处消毒缺失" in headline(view, ZH)
    assert f"<b>{missing}</b>" in tiles(view, ZH)
    assert sum(view.counts.values()) == 80


def test_a_calm_county_is_said_to_be_calm_and_unknown_is_still_named(feed: CountyFeed) -> None:
    view = asyncio.run(feed.view(COUNTY))
    calm = replace(view, counts={DisinfectionState.OK: 78, DisinfectionState.UNKNOWN: 2}, findings={})
    assert "没有发现消毒缺失" in headline(calm, ZH)
    assert "2 处没有可信数据" in headline(calm, ZH)


def test_a_value_of_an_unknown_works_is_not_held_against_the_limit(feed: CountyFeed) -> None:
    row = next(r for r in asyncio.run(feed.view(COUNTY)).rows.values() if r.works.disinfectant.residual)
    state = replace(
        row.state,
        disinfection=DisinfectionState.UNKNOWN,
        residual=0.0,
        as_of=NOW,
        residual_parameter=row.works.disinfectant.residual,
    )
    shown = row_data(replace(row, state=state), ZH)
    assert (shown["vo"], shown["st"]) == (0, True)


def test_names_from_the_register_are_escaped(data: Switchable, feed: CountyFeed) -> None:
    for incident in data.county.incidents.values():
        works = data.county.works[incident.works]
        data.county.works[incident.works] = replace(works, name="<img src=x onerror=alert(1)>")
    view = asyncio.run(feed.view(COUNTY))
    assert "<img" not in str(changes(view, 0, ZH, "Asia/Shanghai")["incidents"])


def test_a_look_at_the_county_page_never_finds_what_the_look_before_found_for_being_too_early() -> None:
    assert page_county.LIVE_S > feed_module.REFRESH_S
