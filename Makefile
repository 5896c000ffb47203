# The two commands: `make run` (FILE=... for your own file) and `make test`. Everything is
# installed into the checkout: .venv (Python), target (Rust).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# One profile for wheel, tests and lints, so that the dependencies are compiled once.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
SOURCES := $(shell find src presets -type f) Cargo.toml Cargo.lock pyproject.toml
PYTHON_SOURCES := $(shell find python -name '*.py' -o -name '*.pyi')

.PHONY: test-airflow bench-airflow bench-kafka help system run histories test test-rust test-python test-services test-faults fuzz lint bench bench-sinks services services-down wheel dist dist-check clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

system: ## installs by apt what pip and cargo cannot bring (C++, Java 17, Maven, Chromium), or says what to install
	@PYTHON=$(PYTHON) .ci/system $(FOR)

$(VENV)/bin/maturin: | system
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip 'maturin>=1.9,<2'

# The wheel, built and installed; again only when a source changed.
$(VENV)/.wheel: $(VENV)/bin/maturin $(SOURCES) $(PYTHON_SOURCES)
	rm -rf $(CARGO_TARGET_DIR)/wheels
	$(VENV)/bin/maturin build --release --quiet --out $(CARGO_TARGET_DIR)/wheels
	$(PY) -m pip install --quiet --force-reinstall --no-deps $(CARGO_TARGET_DIR)/wheels/wattline-*.whl
	$(PY) -m pip install --quiet wattline --find-links $(CARGO_TARGET_DIR)/wheels
	touch $@

$(VENV)/.dev: $(VENV)/.wheel pyproject.toml
	$(PY) -m pip install --quiet --group dev
	touch $@

wheel: $(VENV)/.wheel ## builds the wheel and installs it into .venv
	@ls -l $(CARGO_TARGET_DIR)/wheels/*.whl | awk '{printf "%s, %.1f MB\n", $$9, $$5/1e6}'

run: $(VENV)/.wheel ## the main job: FILE=path for your own file
	@$(VENV)/bin/wattline demo $(FILE)

test: test-rust test-python test-books test-services test-faults test-airflow fuzz ## every test

# Random histories of the task in `make test`; `make histories` runs a million.
export WATTLINE_HISTORIES ?= 60000

# Tests side by side; each worker starts the servers that its tests want.
SIDE_BY_SIDE := -n $(or $(TEST_JOBS),4)

# What the wheel is built with (pyproject.toml).
FEATURES := python,kafka,postgres,cassandra,cloud

# With the clients of all services, one build: clippy compiles the core without them.
test-rust: $(VENV)/.dev ## the tests of the Rust core, with the real servers
	$(PY) -m tests.services run --with postgres,kafka,s3 -- cargo test --release --quiet --features kafka,postgres,cassandra,cloud

histories: | system ## a million random histories of the task against the model
	WATTLINE_HISTORIES=1000000 cargo test --release --test simulate

test-python: $(VENV)/.dev
	$(PY) -m pytest $(SIDE_BY_SIDE) tests/python

.PHONY: test-books test-docs reference test-notebooks notebooks test-recipes
test-books: $(VENV)/.dev ## docs, notebooks and recipes in one go
	$(PY) -m pytest $(SIDE_BY_SIDE) tests/docs tests/notebooks tests/recipes

test-docs: $(VENV)/.dev ## every block of docs/, on real servers
	$(PY) -m pytest tests/docs

test-notebooks: $(VENV)/.dev ## every notebook, from top to bottom
	$(PY) -m pytest tests/notebooks

test-recipes: $(VENV)/.dev ## every recipe, from init to the query at its end
	$(PY) -m pytest tests/recipes

notebooks: $(VENV)/.dev ## runs the notebooks and keeps what they show; with Kafka of `make services WITH=kafka`
	KAFKA=$$($(PY) -m tests.services status | grep -o '127.0.0.1:[0-9]*' | head -1) $(PY) -m tests.notebooks.book notebooks/*.ipynb

reference: $(VENV)/.dev ## writes docs/reference.md and docs/shell.md from the code
	$(PY) docs/reference.py

test-services: $(VENV)/.dev ## that real servers start, answer, are killed, come back and leave nothing
	$(PY) -m pytest tests/services

services: | system ## starts real servers in the background and prints their URLs (WITH=postgres,kafka,s3 for some)
	@$(PYTHON) -m tests.services up $(if $(WITH),--with $(WITH))

services-down: ## ends them
	@$(PYTHON) -m tests.services down

# Airflow 3 and 2.11, each in an environment of its own beside .venv.
AIRFLOW := .airflow
$(AIRFLOW)/3/.packages: WANTED := apache-airflow>=3,<4
$(AIRFLOW)/2/.packages: WANTED := apache-airflow>=2.11,<3
$(AIRFLOW)/%/.packages: tests/airflow/requirements.txt tests/airflow/install | system
	PYTHON=$(PYTHON) tests/airflow/install $(@D) '$(WANTED)'
	touch $@

$(AIRFLOW)/%/.wheel: $(AIRFLOW)/%/.packages $(VENV)/.wheel
	$(@D)/bin/python -m pip install --quiet --force-reinstall --no-deps $(CARGO_TARGET_DIR)/wheels/wattline-*.whl
	touch $@

test-airflow: $(AIRFLOW)/3/.wheel $(AIRFLOW)/2/.wheel ## the provider on Airflow 3 and 2.11, with the real servers
	$(AIRFLOW)/3/bin/python -m pytest tests/airflow
	$(AIRFLOW)/2/bin/python -m pytest tests/airflow

# The same code with failpoints compiled in, beside the wheel, for the tests that kill it.
test-faults: $(VENV)/.dev
	cargo build --release --quiet --features $(FEATURES),faults --target-dir $(CARGO_TARGET_DIR)
	rm -rf $(CARGO_TARGET_DIR)/faults && mkdir -p $(CARGO_TARGET_DIR)/faults && cp -r python/wattline $(CARGO_TARGET_DIR)/faults/
	cp $(CARGO_TARGET_DIR)/release/libwattline.so $(CARGO_TARGET_DIR)/faults/wattline/_native.abi3.so
	PYTHONPATH=$(CARGO_TARGET_DIR)/faults $(PY) -m pytest $(SIDE_BY_SIDE) tests/faults

# What a release needs, without what the tests need: FOR=wheel asks for a compiler, make and perl only.
$(VENV)/.dist: pyproject.toml | $(VENV)/bin/maturin
	$(PY) -m pip install --quiet --group dist
	touch $@

# The wheel is compiled from the sdist, so that a complete sdist is proved, with a profile of its own that makes it small:
# half an hour of processor time.
dist: $(VENV)/.dist ## wheel and sdist into dist/, checked, and installed where there is no Rust (minutes)
	rm -rf dist
	PATH=$(CURDIR)/$(VENV)/bin:$$PATH $(VENV)/bin/maturin build --profile dist --sdist --auditwheel check --compression-level 9 --out dist $(MATURIN_FLAGS)
	$(PY) -m pytest tests/dist

dist-check: $(VENV)/.dist ## the checks alone, of what is in dist/
	$(PY) -m pytest tests/dist

fuzz: ## fuzz targets, a minute in all (FUZZ_SECONDS for each target)
	bash fuzz/run.sh

lint: $(VENV)/.dev ## formats, lints, types, stubs, rooms, licences
	cargo fmt --all --check
	cargo clippy --release --quiet --all-targets --features $(FEATURES) -- -D warnings
	cargo clippy --release --quiet --all-targets -- -D warnings
	$(VENV)/bin/ruff check python tests benches docs/reference.py
	$(VENV)/bin/ruff format --check python tests benches docs/reference.py
	$(VENV)/bin/mypy
	$(PY) -m mypy.stubtest wattline --allowlist tests/lint/stubtest_allow.txt --ignore-unused-allowlist --mypy-config-file pyproject.toml
	$(PY) tests/lint/rooms.py
	$(PY) docs/reference.py --check
	$(PY) tests/lint/licences.py

bench: $(VENV)/.dev ## the measured tables of the README, beside the peers
	$(PY) benches/bench.py

bench-sinks: $(VENV)/.dev ## windows into PostgreSQL and SQLite, readings into Cassandra, beside their own clients
	$(PY) benches/sinks.py
	$(PY) benches/files.py
	$(PY) benches/readings.py

bench-kafka: $(VENV)/.dev ## topics, and the whole way from a file to the stores, beside the peers, on servers of its own
	PYTHONPATH=. $(PY) benches/kafka.py
	PYTHONPATH=. $(PY) benches/whole_way.py

bench-airflow: $(AIRFLOW)/3/.wheel ## what Airflow adds: time to parse DAGs, a task beside the bare call
	$(AIRFLOW)/3/bin/python benches/airflow_cost.py

clean: ## removes what was built
	rm -rf target $(VENV) $(AIRFLOW) out dist
