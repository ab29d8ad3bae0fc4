# The front door: `make help` lists what there is.

CARGO ?= cargo
# Programs that `make setup` installs, and data of `make up`, live in .aquifer/.
export AQUIFER_CACHE ?= $(CURDIR)/.aquifer/cache

.DEFAULT_GOAL := help
.PHONY: dist test-full soak sustained bench-upload reference help setup setup-check demo up test check fmt clippy doc deny advisories bench clean-stack bench-midas bench-scale fuzz bench-compression bench-stream

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install MariaDB, Kafka and SeaweedFS; does nothing where they are
	@tools/setup

setup-check:
	@tools/setup --check-tools

demo: setup ## a simulated detector through the whole chain, on this machine
	$(CARGO) run -p aquifer -- demo $(ARGS)

up: setup ## all services on private servers; Ctrl-C stops them
	$(CARGO) run -p aquifer -- up $(ARGS)

test: setup ## all tests, against the real servers
	$(CARGO) test --workspace

test-full: setup ## further tests, against servers of other makers, which it installs
	@tools/setup --full-tools
	$(CARGO) test -p aquifer-stack --test adapters -- --ignored another_maker
	$(CARGO) test -p aquifer --test services -- --ignored another_maker

check: fmt clippy test doc deny ## what must pass before a commit

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --workspace --no-deps

deny: setup-check
	$(AQUIFER_CACHE)/cargo-deny/bin/cargo-deny check bans licenses sources

advisories: setup-check ## known vulnerabilities; needs github.com
	$(AQUIFER_CACHE)/cargo-deny/bin/cargo-deny check advisories

bench: ## benchmarks, at release speed
	$(CARGO) bench --workspace --profile bench-run

bench-midas: ## MIDAS readers side by side; writes loadtest/results/midas.md
	$(CARGO) bench -p aquifer-midas --bench side_by_side --profile bench-run -- $(CURDIR)/loadtest/results/midas.md

fuzz: ## random bytes into every parser: `make fuzz ARGS="SECONDS [TARGET...]"`
	@fuzz/run $(ARGS)

bench-compression: ## ratio and speed of compressors on camera data; writes loadtest/results/camera-compression.md
	$(CARGO) bench -q -p aquifer-sim --bench camera_compression --profile bench-run > loadtest/results/camera-compression.md

bench-stream: setup ## how soon after their end large runs are stored; writes loadtest/results/stream.md
	$(CARGO) build --profile bench-run -p aquifer -p aquifer-loadtest
	$(or $(CARGO_TARGET_DIR),target)/bench-run/aquifer-loadtest stream --runs 20 --kinds zstd:1,gzip:1,none --report loadtest/results/stream.md

bench-scale: setup ## a catalogue after years: filled and asked; writes loadtest/results/scale.md
	$(CARGO) build --profile bench-run -p aquifer -p aquifer-loadtest
	$(or $(CARGO_TARGET_DIR),target)/bench-run/aquifer-loadtest scale --report loadtest/results/scale.md

sustained: setup ## 100 runs a second for ten minutes; writes loadtest/results/sustained.md
	$(CARGO) build --profile bench-run -p aquifer -p aquifer-loadtest
	$(or $(CARGO_TARGET_DIR),target)/bench-run/aquifer-loadtest sustained --report loadtest/results/sustained.md

bench-upload: ## uploads beside s5cmd and rclone; writes loadtest/results/upload.md
	@tools/setup --bench-tools
	$(CARGO) build --profile bench-run -p aquifer -p aquifer-loadtest
	$(or $(CARGO_TARGET_DIR),target)/bench-run/aquifer-loadtest upload --report loadtest/results/upload.md $(ARGS)

soak: setup ## 500 rounds of SIGKILL; writes loadtest/results/crash-campaign.md
	AQUIFER_CRASH_ROUNDS=500 AQUIFER_CRASH_REPORT=$(CURDIR)/loadtest/results/crash-campaign.md \
		$(CARGO) test -p aquifer --test services crash -- --nocapture

dist: ## a tarball for any x86-64 Linux, tried in an empty root directory
	@tools/dist

reference: ## write the generated pages of docs/reference
	$(CARGO) run -q -p aquifer -- config reference > docs/reference/configuration.md
	$(CARGO) run -q -p aquifer -- words > docs/reference/words.md
	$(CARGO) run -q -p aquifer -- commands > docs/reference/commands.md

clean-stack: ## stop what `make up` and `make demo` started, and remove its data
	@tools/end-stacks .aquifer
	@find .aquifer -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} +
