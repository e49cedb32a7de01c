"""Node-RED as people set it up for this: MQTT in, a function that checks limits, InfluxDB out; a write a message.

It is installed from the npm registry into a folder that is named, at the versions pinned here (both Apache-2.0), and only when
asked to.
"""

import json
import shutil
import subprocess
from pathlib import Path

from qingquan.errors import ConfigurationError
from qingquan.store.reading_log.credentials import free_port

__all__ = ["PACKAGES", "command", "flow", "install", "missing"]

PACKAGES = ("node-red@4.1.8", "node-red-contrib-influxdb@0.7.0")
_PROGRAM = Path("node_modules") / "node-red" / "red.js"
_NODES = Path("node_modules") / "node-red-contrib-influxdb"

_FUNCTION = """
const [, county, works, point] = msg.topic.split('/');
const {t, v} = msg.payload;
const tags = {county, works, point};
const point_of = (measurement) => ({measurement, payload: [{...v, time: new Date(t)}, tags]});
const is_bad = v.free_chlorine < 0.3 || v.turbidity > 1.0;
return [point_of('reading'), is_bad ? point_of('alarm') : null];
"""


def missing(folder: Path | None) -> str:
    """Why it cannot be had; empty if it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if folder is None:
        return "name a folder with --node-red DIR; --install fetches it there from the npm registry"
    if not ((folder / _PROGRAM).is_file() and (folder / _NODES).is_dir()):
        return f"no Node-RED in {folder}: --install fetches {' and '.join(PACKAGES)} from the npm registry"
    return ""


def install(folder: Path) -> None:
    """Fetch it into ``folder``.

    Raises
    ------
    ConfigurationError
        If npm is missing or fails; its last line says why.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigurationError(["--install: npm is not installed"])
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--omit=dev", *PACKAGES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigurationError([f"--install: npm ended with status {done.returncode}: {last}"])


def command(folder: Path, work: Path, mqtt_port: int, influx_url: str, database: str) -> list[str]:
    """The command that runs the flow; ``work`` gets settings and flow."""
    work.mkdir(parents=True, exist_ok=True)
    flows, settings = work / "flows.json", work / "settings.js"
    flows.write_text(json.dumps(flow(mqtt_port, influx_url, database)), encoding="utf-8")
    settings.write_text(
        f"module.exports = {{uiHost: '127.0.0.1', uiPort: {free_port()}, httpAdminRoot: false, httpNodeRoot: false,\n"
        f"  flowFile: {json.dumps(str(flows))}, credentialSecret: false, logging: {{console: {{level: 'info'}}}}}};\n",
        encoding="utf-8",
    )
    return ["node", str(folder / _PROGRAM), "--userDir", str(work), "--settings", str(settings), str(flows)]


def flow(mqtt_port: int, influx_url: str, database: str) -> list[dict[str, object]]:
    """MQTT in (QoS 1, persistent session) → function → InfluxDB out."""
    host, _, port = influx_url.removeprefix("http://").partition(":")
    return [
        {"id": "tab", "type": "tab", "label": "readings"},
        {
            "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(mqtt_port), "clientid": "node-red",
            "autoConnect": True, "usetls": False, "protocolVersion": "4", "keepalive": "60", "cleansession": False,
        },
        {
            "id": "influx", "type": "influxdb", "hostname": host, "port": port, "protocol": "http", "database": database,
            "influxdbVersion": "1.x", "usetls": False, "rejectUnauthorized": False,
        },
        {
            "id": "in", "type": "mqtt in", "z": "tab", "topic": "wq/#", "qos": "1", "datatype": "json", "broker": "broker",
            "nl": False, "rap": True, "rh": 0, "inputs": 0, "wires": [["check"]],
        },
        {
            "id": "check", "type": "function", "z": "tab", "func": _FUNCTION, "outputs": 2, "noerr": 0, "initialize": "",
            "finalize": "", "libs": [], "wires": [["out"], ["out"]],
        },
        {
            "id": "out", "type": "influxdb out", "z": "tab", "influxdb": "influx", "measurement": "", "precision": "ms",
            "retentionPolicy": "", "database": database, "precisionV18FluxV20": "ms", "retentionPolicyV18Flux": "",
            "org": "", "bucket": "", "wires": [],
        },
    ]  # fmt: skip
