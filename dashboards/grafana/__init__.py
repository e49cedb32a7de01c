"""Grafana dashboards as code: generated from the parameter and limit tables, so that no threshold can drift.

`build` writes dashboards and provisioning files; `push` sends them to a running Grafana over its HTTP API.
"""
