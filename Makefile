# One target for each thing that a developer does with Windlass. Needs Python 3.11 or newer and make, nothing else.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python on PATH that is new enough; `make PYTHON=… serve` takes another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# A stamp for each set of extras: a set is installed again only when its list changes.
STAMP := $(VENV)/.installed
LISTS := pyproject.toml constraints.txt

export DJANGO_SETTINGS_MODULE ?= windlass.settings

.PHONY: help install serve test test-fast lint format docs site bench chaos kill-moments soak flaky-network fuzz slow-clients hostile audit sbom constraints clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) $(STAMP)-dev $(STAMP)-bench ## Install everything that the other targets need

serve: $(STAMP) ## Run the whole server on this machine (HOST, PORT, WINDLASS_HOME from the environment)
	@exec $(BIN)/windlass serve

test: $(STAMP)-dev ## Run every test (ARGS="-k name"); a test whose service is missing is skipped, with CI=true it fails
	$(BIN)/python -m $(if $(ARGS),pytest $(ARGS),tests)

test-fast: $(STAMP)-dev ## Run the tests that are fast and need no service: pure, models, the local store, integration on SQLite
	$(BIN)/python -m tests --fast

lint: $(STAMP)-dev ## Check format, lint rules, types and the layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)-dev ## Format the code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## Generate the tables of docs/reference from the code
	$(BIN)/python -m docs.generate

site: $(STAMP)-dev ## Build the documentation as a site in build/site; a warning is an error
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --builder html docs build/site

bench: $(STAMP)-bench ## Measure Windlass beside its peers (ARGS="--quick"); writes to benchmarks/results/
	$(BIN)/python -m benchmarks $(ARGS)

chaos: $(STAMP)-dev ## Break a running server under load and check that nothing is lost (SEED=1 ROUNDS=20 MODE=embedded|redis|rabbitmq|s3)
	$(BIN)/python -m tests.chaos --mode $(or $(MODE),embedded) --seed $(or $(SEED),1) --rounds $(or $(ROUNDS),20) \
		--faults "$(FAULTS)" $(ARGS)

kill-moments: $(STAMP)-dev ## Kill a server at the moments that matter, and upgrades in the middle (SEED=1 ROUNDS=5 DATABASE=sqlite)
	CHAOS_SEED=$(or $(SEED),1) CHAOS_ROUNDS=$(or $(ROUNDS),5) CHAOS_DATABASE=$(or $(DATABASE),sqlite) \
		$(BIN)/python -m pytest --timeout=0 $(ARGS) \
		tests/process/test_faults.py tests/process/test_idempotency.py tests/process/test_upgrade.py \
		tests/process/test_knowledge_kills.py

soak: $(STAMP)-dev ## Load a server steadily and check that nothing grows (HOURS=1)
	$(BIN)/python -m tests.chaos.soak --hours $(or $(HOURS),1) $(ARGS)

flaky-network: $(STAMP)-dev ## Upload and download through a proxy that breaks connections (SEED=1 ROUNDS=100)
	FLAKY_SEED=$(or $(SEED),1) FLAKY_ROUNDS=$(or $(ROUNDS),100) $(BIN)/python -m pytest -s $(ARGS) \
		tests/process/test_flaky_network.py

fuzz: $(STAMP)-dev ## Call every operation of the OpenAPI document with generated requests (EXAMPLES=200 SEED=1)
	FUZZ_EXAMPLES=$(or $(EXAMPLES),200) FUZZ_SEED=$(or $(SEED),1) $(BIN)/python -m pytest --timeout=0 $(ARGS) \
		tests/process/test_openapi_fuzzing.py tests/process/test_malformed_http.py

slow-clients: $(STAMP)-dev ## Measure a normal client beside 10,000 slow connections (ARGS="--connections 1000")
	$(BIN)/python -m benchmarks.slow_clients $(ARGS)

hostile: $(STAMP)-dev ## Process hostile files and damaged ones in the sandbox (COUNT=5000 SEED=1); failing files are kept in .hostile/
	$(BIN)/python -m tests.hostile --count $(or $(COUNT),5000) --seed $(or $(SEED),1) --keep .hostile $(ARGS)
	$(BIN)/python -m tests.hostile.archive_peers --count $(or $(COUNT),5000) --seed $(or $(SEED),1) --keep .hostile

audit: $(STAMP)-dev ## Look for known vulnerabilities in the pinned packages of Python and npm
	$(BIN)/python .ci/audit.py

sbom: $(STAMP) $(STAMP)-dev ## Write the software bill of materials (CycloneDX) of an installation to build/sbom.cdx.json
	$(BIN)/python .ci/sbom.py build/sbom.cdx.json

constraints: $(STAMP)-dev ## Update the pinned versions (needs uv)
	uv pip compile --quiet --all-extras --universal --python-version 3.11 --upgrade --no-annotate --no-header \
		--no-emit-index-url --output-file constraints.txt pyproject.toml

clean: ## Remove what was built; uploaded files (windlass-data) are kept
	rm -rf $(VENV) .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Windlass needs Python 3.11 or newer on PATH." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(LISTS) | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

$(STAMP)-%: $(LISTS) | $(BIN)/python
	$(INSTALL) --editable '.[$*]'
	@touch $@
