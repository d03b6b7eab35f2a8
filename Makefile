# Cedargate. `make up` and `make test` are the two commands; `make` alone lists the others.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Where the gate listens, and the API behind it. Without ORIGIN a demo API runs in the same process.
LISTEN ?= 127.0.0.1:3000
ORIGIN ?=
# More for the command that is run, for example ARGS='--records records.jsonl'.
ARGS ?=

# WIDE=1 is for hosts that have wide arithmetic (wasmtime 50 and later, and `make up`): a build of its own, beside the other.
WIDE ?=

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
NARROW := $(TARGET)/wasm32-wasip2/release/cedargate.wasm
BROAD := $(TARGET)/wide/wasm32-wasip2/release/cedargate.wasm
BASE := $(if $(WIDE),$(BROAD),$(NARROW))
CEDARGATE := $(TARGET)/debug/cedargate

# The set-up found the C compiler for wasm; only builds for wasm may see it.
wasm_cc := set -a; . "$(TARGET)/setup.env"; set +a;
wide := CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS='-C target-feature=+wide-arithmetic'

.PHONY: help setup setup-tests component cli up seal check prove test test-gate lint bench-setup bench bench-load fuzz soak docs clean gate-is-named

help: ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@printf '\n  make up LISTEN=127.0.0.1:8080 ORIGIN=http://127.0.0.1:9000\n  make test-gate GATE=http://127.0.0.1:3000\n'

setup: ## install what building needs; nothing when all is there
	@scripts/setup

setup-tests: setup ## install what the tests need besides: nginx, haproxy, cvc5
	@scripts/setup-tests

# A cdylib by command and not by Cargo.toml: a second crate type there switches LTO off.
component: setup ## build the base component
	@echo 'build: the component' >&2
	@$(wasm_cc) $(if $(WIDE),$(wide)) cargo rustc --locked --release --lib --crate-type cdylib --target wasm32-wasip2 --no-default-features \
		--target-dir "$(TARGET)$(if $(WIDE),/wide)" -- -C strip=symbols

cli: setup ## build the command `cedargate`
	@echo 'build: the command' >&2
	@cargo build --locked

up: component cli ## serve the gate on LISTEN in front of ORIGIN, or of a demo API
	@exec "$(CEDARGATE)" up --dev --base "$(BASE)" --listen "$(LISTEN)" $(if $(ORIGIN),--origin "$(ORIGIN)") $(ARGS)

seal: component cli ## seal policies/ and keys/ into target/sealed/cedargate.wasm
	@"$(CEDARGATE)" seal --base "$(BASE)" $(ARGS)

check: cli ## say everything that is wrong in policies/ and keys/
	@"$(CEDARGATE)" check $(ARGS)

# The solver: one that is named, one of the system, or the one that the set-up installed.
prove: cli setup-tests ## prove what policies/proofs.yaml claims
	@solver="$${CVC5:-$$(command -v cvc5 || true)}"; [ -n "$$solver" ] || [ ! -d "$(TARGET)/cvc5" ] || solver="$(CURDIR)/scripts/cvc5"; \
		CARGO_TARGET_DIR="$(TARGET)" CVC5="$$solver" "$(CEDARGATE)" prove $(ARGS)

test: setup-tests component ## run all tests
	@echo 'test: everything' >&2
	@CEDARGATE_BASE="$(BASE)" cargo test --workspace --locked

# Asked first: nobody should wait for a build to learn that a name is missing.
gate-is-named:
	@[ -n "$(GATE)" ] || { echo 'make test-gate: say which gate: make test-gate GATE=http://127.0.0.1:3000' >&2; exit 2; }

test-gate: gate-is-named setup-tests component ## run the end-to-end tests against GATE=http://… (docs/testing.md)
	@GATE="$(GATE)" CEDARGATE_BASE="$(BASE)" cargo test --locked --test all

lint: setup ## check format, dependencies and code
	@echo 'lint: format' >&2
	@cargo fmt --all --check
	@echo 'lint: dependencies' >&2
	@scripts/check-dependencies
	@echo 'lint: the component' >&2
	@$(wasm_cc) cargo clippy --locked --lib --no-default-features --target wasm32-wasip2 -- -D warnings
	@echo 'lint: everything native' >&2
	@cargo clippy --locked --workspace --all-targets -- -D warnings

# The dev profile, so that dependencies are compiled once for everything; only our own code is optimised anew.
bench_env := CEDARGATE_BASE="$(NARROW)" CEDARGATE_BASE_WIDE="$(BROAD)" CEDARGATE_NOOP="$(TARGET)/noop/wasm32-wasip2/release/noop.wasm" \
	CEDARGATE_SIGNATURES="$(TARGET)/signatures/wasm32-wasip2/release/signatures.wasm" \
	CEDARGATE_SIGNATURES_WIDE="$(TARGET)/signatures-wide/wasm32-wasip2/release/signatures.wasm" CARGO_PROFILE_DEV_OPT_LEVEL=3

bench-setup: setup
	@$(MAKE) component WIDE=
	@$(MAKE) component WIDE=1
	@$(wasm_cc) cargo build --locked --release --manifest-path benches/noop/Cargo.toml --target wasm32-wasip2 --target-dir "$(TARGET)/noop"
	@$(wasm_cc) cargo build --locked --release --manifest-path benches/signatures/Cargo.toml --target wasm32-wasip2 --target-dir "$(TARGET)/signatures"
	@$(wasm_cc) $(wide) cargo build --locked --release --manifest-path benches/signatures/Cargo.toml --target wasm32-wasip2 \
		--target-dir "$(TARGET)/signatures-wide"

bench: bench-setup ## measure, as ratios to a no-op component; writes docs/performance.md
	@benches/peers/setup
	@$(bench_env) cargo bench --locked --profile dev --bench load -- --write $(ARGS)
	@$(bench_env) cargo bench --locked --profile dev --bench gate
	@$(bench_env) cargo bench --locked --profile dev --bench pipeline

bench-load: bench-setup ## measure one part of it: ARGS='--quick --only scenarios'
	@$(bench_env) cargo bench --locked --profile dev --bench load -- $(ARGS)

# RUSTC_BOOTSTRAP: coverage is counted with flags that stable rustc keeps for nightly. What was found is kept in fuzz/corpus/.
fuzz: ## search a TARGET of fuzz/ for SECONDS (docs/testing.md)
	@[ -f "fuzz/fuzz_targets/$(TARGET).rs" ] || { echo "make fuzz: say which target: make fuzz TARGET=token SECONDS=600; there are" $$(cd fuzz/seeds && echo *) >&2; exit 2; }
	@command -v cargo-fuzz >/dev/null || cargo install --locked --version 0.13.2 cargo-fuzz
	@mkdir -p "fuzz/corpus/$(TARGET)"
	@RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer "$(or $(SANITIZER),none)" --target-dir "$(abspath $(or $(CARGO_TARGET_DIR),target))/fuzz" "$(TARGET)" \
		"fuzz/corpus/$(TARGET)" "fuzz/seeds/$(TARGET)" -- -max_total_time=$(or $(SECONDS),600) -max_len=8192 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 $(ARGS)

soak: ## hold prepared keys against ring with COUNT signatures, from SEED on (docs/testing.md)
	@cargo build --locked --release --manifest-path benches/signatures/Cargo.toml --target-dir "$(TARGET)/signatures"
	@"$(TARGET)/signatures/release/signatures" soak "$(or $(COUNT),1000000)" "$(or $(SEED),1)"

docs: cli ## write the generated pages of docs/ again
	@"$(CEDARGATE)" reasons --format markdown >docs/reason-codes.md.new
	@mv docs/reason-codes.md.new docs/reason-codes.md

clean: ## remove what was built; development keys stay
	@cargo clean
