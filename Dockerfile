# The application runs from its tree, as on a developer's machine: locked packages in one virtual environment, our folders beside it.
FROM python:3.12-slim-bookworm AS packages
WORKDIR /build
COPY requirements/uv.txt requirements/runtime.lock requirements/
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/uv.txt \
    && python -m venv --without-pip /opt/venv \
    && uv pip install --python /opt/venv/bin/python --no-cache --require-hashes -r requirements/runtime.lock

FROM python:3.12-slim-bookworm
RUN groupadd --gid 10001 qingquan \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin qingquan \
    && install -d -o 10001 -g 10001 /data /data/log /data/service
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY qingquan/ qingquan/
COPY ingest/ ingest/
COPY rules/ rules/
COPY alerts/ alerts/
COPY ledgers/ ledgers/
COPY dashboards/ dashboards/
COPY simulators/ simulators/
# Nothing can be compiled later, because the image is read-only: without this every start and every health test would compile all it loads.
RUN python -m compileall -q -j 0 /usr/local/lib/python3.12 /opt/venv/lib /app
# PYTHONPATH comes before installed packages, so our root packages win over strangers of the same name.
# Compiled rules are kept on the data volume: the image itself is read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/data/service/numba \
    NICEGUI_STORAGE_PATH=/data/service/nicegui \
    QINGQUAN_DATA_DIR=/data/service
USER 10001:10001
VOLUME ["/data/log", "/data/service"]
EXPOSE 8080 1883
ENTRYPOINT ["python", "-m", "qingquan"]
CMD ["--help"]
