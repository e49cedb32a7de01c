#!/bin/sh
# Grafana reads by InfluxQL, which knows databases and retention policies: name the bucket as one. Runs once, on an empty volume.
set -eu
influx v1 dbrp create --bucket-id "$DOCKER_INFLUXDB_INIT_BUCKET_ID" --db "$DOCKER_INFLUXDB_INIT_BUCKET" --rp autogen --default
