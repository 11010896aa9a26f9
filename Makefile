# What one can ask of this source tree. `make demo` and `make test` need Rust, and install the rest.

CARGO ?= cargo
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: demo build test test-needs test-mongodb-matrix docs lint deny bench bench-compare bench-mongodb ci

demo: ## Back up a real directory twice, restore it, compare byte for byte
	scripts/demo

build: ## The release binary: target/release/icecore
	$(CARGO) build --release --locked

test: test-needs ## All tests
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --locked --no-fail-fast
else
	$(CARGO) test --locked --no-fail-fast --lib --bins --tests
endif
	$(CARGO) test --locked --doc

test-needs: ## What tests need beside Rust: an S3 server, mongod, real data, and packages
	scripts/test-needs

test-mongodb-matrix: ## The MongoDB tests on the older servers, 4.4.2 and 5.0.4
	scripts/mongodb-matrix

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs: ## The library's documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

deny: ## Licences, sources and doubled crates of the dependencies
	scripts/deny

bench: ## The stations, one by one
	$(CARGO) bench --locked

bench-compare: ## Whole processes against restic and rustic
	scripts/bench-compare

bench-mongodb: ## Whole processes on a database of two million documents
	scripts/bench-mongodb

ci: ## What must hold before anything is merged
	.ci/run
