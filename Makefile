# Everything that is done to wafleet is done through one of these. `make demo` and `make test` set up
# what is missing by themselves; on a bare Debian machine nothing else has to be installed by hand.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
NPM_FLAGS := --no-fund --no-audit --loglevel=error

.DEFAULT_GOAL := help
.PHONY: help setup demo test check run run-simulated bench chaos chaos-mutants fix clean lock

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

setup: $(VENV)/.installed node_modules/.installed ## Install Python and npm packages, and Chromium
	@deploy/install-chromium

$(VENV)/.installed: requirements.lock pyproject.toml deploy/make-venv
	@PYTHON='$(PYTHON)' VENV=$(VENV) deploy/make-venv
	@touch $@

node_modules/.installed: package.json package-lock.json .npmrc
	@echo "setup: installing npm packages (pinned)"
	@npm ci $(NPM_FLAGS)
	@touch $@

demo: setup ## Run the main job against the built-in simulator, from QR code to clean stop
	@$(BIN)/wafleet demo

run: setup ## Run wafleet against the real WhatsApp
	@$(BIN)/wafleet run

run-simulated: setup ## Run wafleet against the simulator and stay up, for playing with it
	@$(BIN)/wafleet run --simulated

check: $(VENV)/.installed node_modules/.installed ## Lint, types, import rules, JavaScript types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	npm run --silent check

test: setup ## Pass all tests
	@$(BIN)/pytest --numprocesses 3 --dist worksteal || { \
		echo "test: what failed beside other tests is run once more, by itself"; \
		$(BIN)/pytest --last-failed --last-failed-no-failures none; }

bench: setup ## Measure what the benchmarks promise; prints a table and JSON
	$(BIN)/python -m benchmarks

chaos: setup ## Inject every fault that must be survived; prints a table and JSON
	$(BIN)/python -m tests.chaos

chaos-mutants: setup ## Show that the chaos suite can fail: mitigations off, one by one
	$(BIN)/python -m tests.chaos.mutants

fix: $(VENV)/.installed ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.installed ## Pin the newest allowed versions again, with hashes and without addresses
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --group dev \
		--no-emit-index-url pyproject.toml --output-file requirements.lock
	npm install --package-lock-only $(NPM_FLAGS)

clean: ## Remove what was installed and built (never data/)
	rm -rf $(VENV) node_modules build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache benchmarks/results tests/chaos/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
