# Everything a newcomer needs: `make demo`, `make check`, `make test`. `make help` lists all.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest --numprocesses=auto --dist=worksteal
# The same for all builds, so that none makes another build again.
export PYO3_PYTHON := $(abspath $(BIN)/python)
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
LIBRARY := $(if $(filter Darwin,$(shell uname)),dylib,so)
# Each is touched when the extension of that profile has been put into the package.
DEVELOP := $(VENV)/.develop
RELEASE := $(VENV)/.release
# An environment with what users may add; and the tests that need it.
EXTRAS := .venv-extras
# The worlds of `make fleet-years`: others than those of `make test`.
FLEET_YEARS ?= --seed 10000 --worlds 250000
NEED_EXTRAS := $(addprefix tests/python/test_,lab_engines.py rivals.py check_policy.py report_browser.py scenarios.py green_threads.py)
CARGO_MUTANTS := target/tools/cargo-mutants-27.1.0/bin/cargo-mutants
CARGO_DENY := $(or $(shell command -v cargo-deny),target/tools/cargo-deny-0.20.2/bin/cargo-deny)
# Targets that do not wait for each other, on two cores, each target's output in one piece.
TOGETHER := +$(MAKE) --no-print-directory --jobs=2 --output-sync=target

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: demo
demo: $(RELEASE) ## Build, install into .venv, run the main job on the built-in data set
	@mkdir -p out
	$(BIN)/stageroute bench --json out/demo.json --plot out/demo.png
	@echo "pictures and figures: out/demo.png out/demo.json"

.PHONY: develop
develop: $(DEVELOP) ## Build the extension for tests: quickly, with assertions

.PHONY: check
check: $(DEVELOP) ## In a minute: formatting, lints, types, Rust tests, Python tests that are not slow
	$(TOGETHER) lint-rust lint-python
	cargo test --quiet --profile develop --workspace --locked
	$(PYTEST) -m "not slow"

.PHONY: test
test: $(DEVELOP) ## Run everything, but for what needs extras: see test-extras
	$(TOGETHER) --keep-going lint test-python test-rust test-sim test-release test-fuzz

.PHONY: lint
lint: lint-rust lint-python ## Formatting, lints, types, layers

.PHONY: lint-rust
lint-rust: $(VENV)/.locked
	cargo fmt --all --check
	cargo clippy --quiet --profile develop --workspace --all-targets --locked -- -D warnings

.PHONY: lint-python
lint-python: $(DEVELOP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest stageroute._core
	$(BIN)/lint-imports --no-logo

.PHONY: test-rust
test-rust: $(VENV)/.locked ## Rust tests and documentation
	cargo test --quiet --profile develop --workspace --locked
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --profile develop --workspace --no-deps --locked

# The same worlds each time, so that it is the same work.
.PHONY: test-sim
test-sim: $(VENV)/.locked ## Simulate routers with faults for a minute
	cargo run --quiet --profile develop --package stageroute-sim --locked -- --worlds 2500 --steps 8000

.PHONY: fleet-years
fleet-years: $(VENV)/.locked ## Simulate for an hour or so: FLEET_YEARS="--seed 1000000 --worlds 10000"
	cargo run --quiet --release --package stageroute-sim --locked -- \
		$(FLEET_YEARS) --jobs $(shell getconf _NPROCESSORS_ONLN)

.PHONY: test-python
test-python: $(DEVELOP) ## Python tests, slow ones too, and the examples of the documents
	$(PYTEST)

.PHONY: test-release
test-release: $(VENV)/.locked ## What is shipped: the wheel, and instructions on the hot path
	$(BIN)/python -m pytest tests/release

.PHONY: test-fuzz
test-fuzz: $(DEVELOP) ## Fuzz the same inputs each time, for some seconds
	FUZZ_SEED=20260000 FUZZ_RUNS=3000000 PYTHON=$(abspath $(BIN)/python) fuzz/run.sh 15

.PHONY: test-extras
test-extras: $(EXTRAS)/.locked $(DEVELOP) ## What needs Ray, the rivals, a browser, other toolchains; nothing is skipped
	$(EXTRAS)/bin/python -m pytest --forbid-skips --numprocesses=auto --dist=loadfile $(NEED_EXTRAS)
	$(MAKE) --no-print-directory deny msrv

.PHONY: deny
deny: $(CARGO_DENY) ## Licences, bans and sources of crates
	$(CARGO_DENY) --all-features check bans licenses sources

.PHONY: advisories
advisories: $(CARGO_DENY) ## Known weaknesses of crates; needs the network
	$(CARGO_DENY) --all-features check advisories

$(CARGO_DENY): | toolchain
	cargo install --quiet --locked --root $(abspath $(dir $@)..) cargo-deny@0.20.2

.PHONY: msrv
msrv: $(VENV)/.locked ## Build with the oldest Rust that Cargo.toml promises
	@if rustup toolchain install $(MSRV) --profile minimal --no-self-update; \
	then cargo +$(MSRV) check --quiet --workspace --locked --target-dir target/msrv; \
	else echo "left out: Rust $(MSRV) is not installed and cannot be fetched here"; fi

.PHONY: fuzz
fuzz: $(DEVELOP) ## Fuzz for ten minutes
	PYTHON=$(abspath $(BIN)/python) fuzz/run.sh 600

.PHONY: bench
bench: $(RELEASE) ## Measure: ratios to other ways of doing the same, then the core alone
	$(BIN)/python benches/python/ratios.py
	$(BIN)/python benches/python/guarded.py
	$(BIN)/python benches/python/solvers.py
	$(BIN)/python benches/python/many_models.py
	cargo bench -p stageroute-baselines -p stageroute-journal --locked

.PHONY: baseline
baseline: $(RELEASE) ## Renew the baselines of decision quality that the tests compare with
	@rm -rf out/quality out/robustness
	@mkdir -p out tests/baselines
	$(BIN)/stageroute study quality --out out/quality --figures out/quality.json
	$(BIN)/stageroute study robustness --small --policies stageroute --seeds 16 \
		--out out/robustness --figures out/robustness.json
	-$(BIN)/stageroute compare tests/baselines/quality.json out/quality.json
	-$(BIN)/stageroute compare tests/baselines/robustness.json out/robustness.json
	cp out/quality.json out/robustness.json tests/baselines

.PHONY: kills
kills: $(DEVELOP) ## Kill a router under load 2,000 times, with 1 and with 4 threads: KILLS=1000 each
	KILLS=$(or $(KILLS),1000) $(BIN)/python -m pytest -s tests/python/test_router_crashes.py

.PHONY: mutants
mutants: $(CARGO_MUTANTS) ## Mutation testing of the Rust code on a sample: MUTANTS="--seed 2 --size 100"
	PATH="$(abspath $(dir $(CARGO_MUTANTS))):$$PATH" $(PYTHON) tests/mutation/sample.py $(MUTANTS)

$(CARGO_MUTANTS): | toolchain
	cargo install --quiet --locked --root $(abspath $(dir $@)..) cargo-mutants@27.1.0

.PHONY: golden
golden: $(DEVELOP) ## Renew the golden snapshot and journals, after STATE_VERSION was raised
	PYTHONPATH=tests/python $(BIN)/python tests/golden/make_golden.py

.PHONY: wheel
wheel: $(VENV)/.locked ## Build a wheel into dist/
	$(BIN)/maturin build --release --locked --out dist

.PHONY: fmt
fmt: $(VENV)/.locked ## Format and fix what can be fixed
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock: $(VENV)/.locked ## Pin the newest versions that Cargo.toml and requirements/*.in allow
	cargo update
	$(BIN)/pip install --quiet uv==0.13.9
	for name in dev extras; do \
		$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --upgrade --no-emit-index-url \
			requirements/$$name.in --output-file requirements/$$name.txt; \
	done

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf $(VENV) $(EXTRAS) target fuzz/target dist out

.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust (rustup, stable) and open a new shell"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer, or say PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: say PYTHON=python3.12, for example"; exit 1; }

# An environment with what a file pins, in which the package in python/ is used in place.
define environment
$(PYTHON) -m venv $(@D)
$(@D)/bin/pip install --quiet --requirement $<
@echo $(abspath python) >$$($(@D)/bin/python -c 'import site; print(*site.getsitepackages())')/stageroute.pth
@printf '#!%s\nfrom stageroute.cli import main\n\nraise SystemExit(main())\n' $(abspath $(@D)/bin/python) >$(@D)/bin/stageroute
@chmod +x $(@D)/bin/stageroute
@touch $@
endef

$(VENV)/.locked: requirements/dev.txt | toolchain
	$(environment)

$(EXTRAS)/.locked: requirements/extras.txt | toolchain
	$(environment)

# Only the extension is built for that; wheels are built by maturin.
$(DEVELOP) $(RELEASE): $(VENV)/.locked $(RUST_SOURCES)
	cargo build --quiet --locked --profile $(@:$(VENV)/.%=%) --package stageroute-python
	@cp target/$(@:$(VENV)/.%=%)/lib_core.$(LIBRARY) python/stageroute/.new.so
	@mv python/stageroute/.new.so python/stageroute/_core.abi3.so
	@rm -f $(DEVELOP) $(RELEASE)
	@touch $@
