"""Writes everything Grafana needs into a folder: dashboards by language, data source, providers.

The files say the same for the same tables, byte for byte; they are kept in the repository under `deploy/grafana`, and
a test fails when they are older than the tables.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashboards.grafana.county import county_dashboard
from dashboards.grafana.operations import operations_dashboard, prometheus_yaml
from dashboards.grafana.provisioning import dashboards_yaml, datasource_yaml
from dashboards.grafana.text import LANGUAGES
from dashboards.grafana.works import works_dashboard

__all__ = ["build", "dashboards", "rendered"]


def dashboards(language: str) -> Mapping[str, dict[str, Any]]:
    """All dashboards of one language by file name, as Grafana stores them."""
    return {"county": county_dashboard(language).as_json(), "works": works_dashboard(language).as_json()}


def rendered() -> dict[str, str]:
    """Text of every file by its path below the output folder."""
    files = {
        "provisioning/datasources/qingquan.yaml": datasource_yaml(),
        "provisioning/datasources/prometheus.yaml": prometheus_yaml(),
        "provisioning/dashboards/qingquan.yaml": dashboards_yaml(),
    }
    for language in LANGUAGES:
        # Figures of operations come from Prometheus; the others, also pushed over the API, from the series store.
        operations = {"operations": operations_dashboard(language).as_json()}
        for name, dashboard in {**dashboards(language), **operations}.items():
            files[f"dashboards/{language}/{name}.json"] = json.dumps(dashboard, ensure_ascii=False, indent=2) + "\n"
    return files


def build(out: Path) -> list[Path]:
    """Write all files below ``out``; returns their paths."""
    paths = []
    for name, text in sorted(rendered().items()):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
