"""A simulated county without a broker: messages as devices would send them, or columns for the engine directly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import SeriesKey, Topic
from qingquan.domain.works import Works
from simulators.payloads import Payloads
from simulators.scenario import Scenario, load_scenario
from simulators.simulation import TRANSPORT_MS, Sending, Simulation, layout

__all__ = ["Frame", "frame_of", "frames", "messages", "series_keys", "simulation"]


@dataclass(frozen=True, slots=True)
class Frame:
    """Readings that arrive in one step, columns of the same length.

    series : int32, index into `series_keys` of the same works
    observed_at : int64, time by the device's clock [ms since epoch, UTC]
    value : float64, canonical unit; NaN = the device said "no value"
    flag : uint8, the device's own quality code as a `Flag`
    received_at : int64, time of arrival [ms since epoch, UTC]
    """

    at_ms: int
    series: npt.NDArray[np.int32]
    observed_at: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]
    received_at: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.series)


def simulation(works: Sequence[Works], scenario: Scenario | str, start_ms: int, seed: int) -> Simulation:
    """A simulation; ``scenario`` may be the name of a built-in one or a TOML file."""
    return Simulation(works, scenario if isinstance(scenario, Scenario) else load_scenario(scenario), start_ms, seed)


def messages(
    works: Sequence[Works], scenario: Scenario | str, start_ms: int, hours: float, seed: int
) -> Iterator[tuple[int, Topic, bytes]]:
    """Time of sending [ms], topic and payload of every message, in order of time. The same bytes for the same seed."""
    county = simulation(works, scenario, start_ms, seed)
    payloads = Payloads(county)
    for _ in range(_steps(county, hours)):
        yield from payloads.of(county.step())


def frames(works: Sequence[Works], scenario: Scenario | str, start_ms: int, hours: float, seed: int) -> Iterator[Frame]:
    """The readings of the same messages as columns, one frame per step."""
    county = simulation(works, scenario, start_ms, seed)
    for _ in range(_steps(county, hours)):
        yield frame_of(county, county.step())


def series_keys(works: Sequence[Works]) -> list[SeriesKey]:
    """Keys behind the series numbers of `Frame`."""
    return layout(works)[1]


def frame_of(county: Simulation, sending: Sending) -> Frame:
    """Columns of one step: uploads first, as a device sends what it kept before what is new; then in order of senders."""
    n = len(county.senders)
    is_live = np.zeros(n, bool)
    is_live[sending.live] = True
    at, observed = np.zeros(n, np.int64), np.zeros(n, np.int64)
    at[sending.live], observed[sending.live] = sending.live_at, sending.live_observed
    series = np.flatnonzero(is_live[county.sender_of_series])
    of = county.sender_of_series[series]
    parts = []
    for s, sent_at, records in sending.uploads:
        sender, k = county.senders[s], len(records)
        width = sender.last - sender.first
        parts.append((
            np.tile(np.arange(sender.first, sender.last), k),
            np.repeat(np.array([r.observed_at for r in records], np.int64), width),
            np.array([r.values for r in records], float).ravel(),
            np.array([r.flag for r in records], np.uint8).ravel(),
            np.full(k * width, sent_at, np.int64),
        ))  # fmt: skip
    parts.append((series, observed[of], sending.value[series], sending.flag[series], at[of]))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Frame(
        sending.at_ms, columns[0].astype(np.int32), columns[1], columns[2], columns[3], columns[4] + TRANSPORT_MS
    )


def _steps(county: Simulation, hours: float) -> int:
    return round(hours * 3600 / county.step_s)
