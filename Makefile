# Everything needs Python >= 3.11, make and a package index; another interpreter: make PYTHON=python3.12 demo
PYTHON ?= python3
RUN = .venv/bin/python

# Images for containers often forbid Python to keep what it has compiled. Here hundreds of processes load the same modules: each service of a
# demo or a test would compile all of them again, for three seconds of processor time.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help setup setup-dev demo test proof check bench docs lock

help:
	@echo "make demo   set up (first time) and start the whole system with a simulated county"
	@echo "make test   run the tests"
	@echo "make proof  run the tests that start the whole platform for minutes, or judge years"
	@echo "make check  lint, formatting, types, import rules"
	@echo "make bench  measure throughput and latency on this machine"
	@echo "make docs   regenerate the reference pages and Grafana dashboards"
	@echo "make setup  only set up .venv; make lock renews requirements/*.lock"

setup:
	@command -v $(PYTHON) >/dev/null || { echo "set-up: no '$(PYTHON)' here; name one that is 3.11 or newer: make PYTHON=/path/to/python demo" >&2; exit 1; }
	@$(PYTHON) requirements/install.py runtime

setup-dev:
	@command -v $(PYTHON) >/dev/null || { echo "set-up: no '$(PYTHON)' here; name one that is 3.11 or newer: make PYTHON=/path/to/python test" >&2; exit 1; }
	@$(PYTHON) requirements/install.py dev

# exec: Ctrl-C reaches the supervisor itself, which stops what it started and sets the exit status.
demo: setup
	@exec $(RUN) -m qingquan up --demo

test: setup-dev
	@$(RUN) -m qingquan.testing.compiled
	@$(RUN) -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder -m "not proof"

# One after the other: each starts the whole platform, some of them three servers of it.
proof: setup-dev
	@$(RUN) -m qingquan.testing.compiled
	@$(RUN) -m pytest -q -m proof

check: setup-dev
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@.venv/bin/lint-imports

bench: setup
	@$(RUN) -m qingquan bench

docs: setup
	@$(RUN) -m qingquan.services.reference_docs

lock: setup-dev
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements/runtime.lock
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --group dev --extra apprise -c requirements/runtime.lock -o requirements/dev.lock
