"""Measurements: `qingquan bench …`."""
