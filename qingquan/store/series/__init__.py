"""Time-series stores: one port (`qingquan.store.ports.SeriesStore`), one adapter per file."""
