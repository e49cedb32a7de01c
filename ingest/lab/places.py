"""Which works and point of the register a lab sheet means. Pure."""

from collections.abc import Iterable

from ingest.lab.cells import Wrong
from ingest.lab.wording import LabReason
from qingquan.domain.works import PointKind, SamplingPoint, Works
from qingquan.standards.laboratory import name_key

__all__ = ["Places"]

_KIND_WORDS = {
    PointKind.SOURCE: ("水源水", "水源", "原水", "源水", "source"),
    PointKind.TREATMENT: ("处理", "滤后水", "沉后水", "treatment"),
    PointKind.OUTLET: ("出厂水", "出厂", "清水池出水", "outlet", "finished water"),
    PointKind.NETWORK: ("管网水", "管网", "network"),
    PointKind.NETWORK_END: ("管网末梢水", "管网末梢", "末梢水", "末梢", "龙头水", "network end", "tap"),
}
_KINDS = {name_key(word): kind for kind, words in _KIND_WORDS.items() for word in (kind.value, *words)}
MOST_NAMED = 12


class Places:
    """The register by code and by name."""

    def __init__(self, works: Iterable[Works]) -> None:
        self._by_id: dict[str, list[Works]] = {}
        self._by_name: dict[str, list[Works]] = {}
        for one in works:
            self._by_id.setdefault(one.id, []).append(one)
            self._by_name.setdefault(name_key(one.name), []).append(one)

    def works(self, text: str, county: str) -> Works | Wrong:
        """The works with this code or, failing that, this name; ``county`` narrows the choice where it is given."""
        candidates = self._by_id.get(text) or self._by_name.get(name_key(text), [])
        fitting = [one for one in candidates if not county or one.county == county]
        if not fitting:
            return Wrong(LabReason.UNKNOWN_WORKS)
        if len(fitting) > 1:
            named = "、".join(f"{one.id} {one.name}（{one.county}）" for one in fitting[:MOST_NAMED])
            return Wrong(LabReason.AMBIGUOUS_WORKS, {"allowed": named})
        return fitting[0]

    @staticmethod
    def point(works: Works, text: str) -> SamplingPoint | Wrong:
        """The point with this code or name, or the only one of the kind the text names (出厂水, 末梢水 …)."""
        for point in works.points:
            if text == point.id or name_key(text) == name_key(point.name):
                return point
        kind = _KINDS.get(name_key(text))
        fitting = [point for point in works.points if point.kind is kind]
        if len(fitting) == 1:
            return fitting[0]
        named = "、".join(f"{point.id} {point.name}".strip() for point in (fitting or works.points)[:MOST_NAMED])
        reason = LabReason.AMBIGUOUS_POINT if fitting else LabReason.UNKNOWN_POINT
        return Wrong(reason, {"allowed": named or "—"})
