"""Sends data source, folders and dashboards to a running Grafana over its HTTP API.

For a Grafana whose files we cannot provision. Everything is addressed by uid, so a second push replaces the first.
"""

from collections.abc import Callable, Sequence
from typing import Any

from dashboards.grafana.build import dashboards
from dashboards.grafana.model import DATASOURCE_UID
from dashboards.grafana.provisioning import FOLDERS, datasource_payload
from dashboards.grafana.text import LANGUAGES
from qingquan.errors import QingquanError, WrongUse

__all__ = ["GrafanaRefused", "push"]

TIMEOUT_S = 10.0


class GrafanaRefused(QingquanError):
    """Grafana did not answer, or answered that it will not."""


def push(
    url: str,
    token: str,
    *,
    influx_url: str,
    influx_token: str,
    influx_database: str,
    languages: Sequence[str] = LANGUAGES,
) -> list[str]:
    """Create or replace the data source, the folders and the dashboards; returns one line for each.

    Parameters
    ----------
    url, token : Grafana's address and a service-account token with the role Editor or, for the data source, Admin.
    influx_url, influx_token, influx_database : where *Grafana* finds the time-series store, as seen from its host.

    Raises
    ------
    WrongUse
        If the package `grafana-client` is not installed or a setting is empty.
    GrafanaRefused
        With address and Grafana's own words.
    """
    given = {
        "url": url,
        "token": token,
        "influx_url": influx_url,
        "influx_token": influx_token,
        "influx_database": influx_database,
    }
    empty = [name for name, value in given.items() if not value]
    if empty:
        raise WrongUse(f"grafana push needs {', '.join(empty)}")
    grafana, refusals = _connected(url, token)
    done: list[str] = []
    try:
        done.append(
            _put_datasource(grafana, datasource_payload(influx_url, influx_database, influx_token), refusals.client)
        )
        for language in languages:
            folder, title = FOLDERS[language]
            done.append(_put_folder(grafana, folder, title, refusals.client))
            for name, dashboard in dashboards(language).items():
                grafana.dashboard.update_dashboard(
                    {"dashboard": dashboard, "folderUid": folder, "overwrite": True, "message": "qingquan"}
                )
                done.append(f"dashboard {dashboard['uid']} ({language}/{name})")
    except refusals.every as error:
        raise GrafanaRefused(f"Grafana at {url}: {error}") from error
    finally:
        grafana.client.s.close()
    return done


class _Refusals:
    """Exceptions of the client library: its refusals (4xx), and everything it may raise while talking."""

    def __init__(self, client: type[Exception], every: tuple[type[Exception], ...]) -> None:
        self.client = client
        self.every = every


def _connected(url: str, token: str) -> tuple[Any, _Refusals]:
    try:
        from grafana_client.api import GrafanaApi
        from grafana_client.client import GrafanaClientError, GrafanaException
        from niquests.exceptions import RequestException
    except ImportError as error:
        raise WrongUse("grafana push needs the package grafana-client: pip install 'grafana-client>=5.1,<6'") from error
    api = GrafanaApi.from_url(url.rstrip("/"), credential=token, timeout=TIMEOUT_S)
    return api, _Refusals(GrafanaClientError, (GrafanaException, RequestException))


def _put_datasource(grafana: Any, payload: dict[str, Any], refused: type[Exception]) -> str:
    if _exists(lambda: grafana.datasource.get_datasource_by_uid(DATASOURCE_UID), refused):
        grafana.datasource.update_datasource_by_uid(DATASOURCE_UID, payload)
        return f"data source {DATASOURCE_UID} replaced"
    grafana.datasource.create_datasource(payload)
    return f"data source {DATASOURCE_UID} created"


def _put_folder(grafana: Any, uid: str, title: str, refused: type[Exception]) -> str:
    if _exists(lambda: grafana.folder.get_folder(uid), refused):
        return f"folder {uid} is there"
    grafana.folder.create_folder(title, uid)
    return f"folder {uid} created"


def _exists(ask: Callable[[], Any], refused: type[Exception]) -> bool:
    try:
        ask()
    except refused as error:
        if getattr(error, "status_code", None) == 404:
            return False
        raise
    return True
