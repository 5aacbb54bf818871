# Everything a newcomer needs: `make demo`, `make test`. `make help` lists all targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
CARGO_MUTANTS := target/tools/cargo-mutants-27.1.0/bin/cargo-mutants
# Touched whenever the package has been built and installed into the environment.
STAMP := $(VENV)/.installed

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: demo
demo: $(STAMP) ## Build, install into .venv, run the main job on the built-in data set
	@mkdir -p out
	$(BIN)/stageroute bench --json out/demo.json --plot out/demo.png
	@echo "pictures and figures: out/demo.png out/demo.json"

.PHONY: test
test: lint test-rust test-python ## Run everything: lints, types, Rust and Python tests, examples, fuzzing

.PHONY: lint
lint: $(STAMP) ## Formatting, lints, types
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest stageroute._core

.PHONY: test-rust
test-rust: toolchain ## Rust tests and documentation
	cargo test --release --workspace --locked
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

.PHONY: test-python
test-python: $(STAMP) ## Python tests, the README, a minute of fuzzing, instruction counts, the wheel
	$(BIN)/python -m pytest

.PHONY: fuzz
fuzz: $(STAMP) ## Fuzz for ten minutes
	PYTHON=$(abspath $(BIN)/python) fuzz/run.sh 600

.PHONY: bench
bench: $(STAMP) ## Measure: ratios to other ways of doing the same, then the core alone
	$(BIN)/python benches/python/ratios.py
	$(BIN)/python benches/python/guarded.py
	$(BIN)/python benches/python/solvers.py
	cargo bench -p stageroute-baselines -p stageroute-journal --locked

.PHONY: baseline
baseline: $(STAMP) ## Renew the baseline of decision quality that the tests compare with
	@rm -rf out/quality
	@mkdir -p out tests/baselines
	$(BIN)/stageroute study quality --out out/quality --figures out/quality.json
	-$(BIN)/stageroute compare tests/baselines/quality.json out/quality.json
	cp out/quality.json tests/baselines/quality.json

.PHONY: mutants
mutants: $(CARGO_MUTANTS) ## Mutation testing of the Rust code on a sample: MUTANTS="--seed 2 --size 100"
	PATH="$(abspath $(dir $(CARGO_MUTANTS))):$$PATH" $(PYTHON) tests/mutation/sample.py $(MUTANTS)

$(CARGO_MUTANTS): | toolchain
	cargo install --quiet --locked --root $(abspath $(dir $@)..) cargo-mutants@27.1.0

.PHONY: golden
golden: $(STAMP) ## Renew the golden snapshot and journals, after STATE_VERSION was raised
	PYTHONPATH=tests/python $(BIN)/python tests/golden/make_golden.py

.PHONY: wheel
wheel: $(STAMP) ## Build a wheel into dist/
	$(BIN)/maturin build --release --locked --out dist

.PHONY: fmt
fmt: $(STAMP) ## Format and fix what can be fixed
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock: $(STAMP) ## Pin the newest versions that pyproject.toml and requirements/dev.in allow
	cargo update
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
		--no-emit-index-url requirements/dev.in --output-file requirements/dev.txt

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf $(VENV) target fuzz/target dist out

.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust (rustup, stable) and open a new shell"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer, or say PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: say PYTHON=python3.12, for example"; exit 1; }

$(VENV)/.locked: requirements/dev.txt | toolchain
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements/dev.txt
	@touch $@

$(STAMP): $(VENV)/.locked $(RUST_SOURCES) pyproject.toml
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --locked --quiet
	@touch $@
