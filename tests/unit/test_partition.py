"""The partition of a works, without a server (FNV-1a vectors are the published ones)."""

from collections import Counter

from qingquan.store.reading_log import partition_of


def test_the_hash_is_fnv_1a_of_county_and_works_joined() -> None:
    assert partition_of("", "", 2**32) == 0x811C9DC5
    assert partition_of("", "a", 2**32) == 0xE40C292C
    assert partition_of("foo", "bar", 2**32) == 0xBF9CF968


def test_one_partition_takes_everything() -> None:
    assert {partition_of("520303", f"W{number}", 1) for number in range(50)} == {0}


def test_a_county_spreads_over_all_partitions() -> None:
    counts = Counter(partition_of("520425", f"W{number:04d}", 8) for number in range(660))
    assert set(counts) == set(range(8))
    assert min(counts.values()) > 40
