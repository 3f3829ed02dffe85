# Needs Go 1.26, Node 20 with npm, git, and a C compiler for the race detector.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO      ?= go
VERSION ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)

# npm's name of this platform: linux-x64, linux-arm64, darwin-arm64, darwin-x64.
PLATFORM := $(shell $(GO) env GOOS)-$(patsubst amd64,x64,$(shell $(GO) env GOARCH))
NATIVE   := node_modules/@anthropic-ai/claude-code-$(PLATFORM)/claude
CLI_DIR  := session/testdata/cli
CLI_BIN  := $(CLI_DIR)/$(NATIVE)
SDK_DIR  := api/testdata/sdk

# `make contract CLI=2.1.331` looks at that release; without CLI, at the pinned one.
CLI_VERSION ?= $(CLI)

# Packages tested at once. Many of their tests start CLI processes of 100 MB and more, so this does not grow with the machine.
TEST_PACKAGES ?= 2
TEST_TIMEOUT  ?= 30m
BENCHTIME     ?= 1s

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/maxrelay
	$(GO) build -ldflags '-X main.version=$(VERSION)' -o bin/maxrelay ./cmd/maxrelay

.PHONY: run
run: build ## serve on 127.0.0.1:3456 with the claude on PATH and its own login
	bin/maxrelay serve

.PHONY: demo
demo: cli build ## try everything against a built-in fake model, no account needed
	bin/maxrelay demo --claude $(CLI_BIN) $(ARGS)

.PHONY: cli
cli: $(CLI_DIR)/node_modules/.package-lock.json ## install the pinned Claude Code CLI for tests and the demo

.PHONY: sdk
sdk: $(SDK_DIR)/node_modules/.package-lock.json ## install the pinned client SDKs for tests

# npm writes this file at the end of an install, so it is older than the lock exactly when there is something to do.
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

.PHONY: lint
lint: ## check format, vet, staticcheck, and that it builds for macOS
	@unformatted=$$(find . -name node_modules -prune -o -name '*.go' -print | xargs gofmt -l) && \
	if [ -n "$$unformatted" ]; then printf 'not formatted, run gofmt -w:\n%s\n' "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOOS=darwin $(GO) build ./...

.PHONY: test
test: cli sdk lint ## lint, then run every test with the race detector
	$(GO) test -race -p $(TEST_PACKAGES) -timeout $(TEST_TIMEOUT) ./...

# The fault suite for as long as CHAOS says, with a fault every 10 s. SEED=1234 repeats the faults and questions of an earlier run.
CHAOS ?= 30m
SEED  ?= 0

.PHONY: chaos
chaos: ## strike a fleet with faults: make chaos CHAOS=30m SEED=0
	mkdir -p bin/chaos
	$(GO) test -race -count 1 -v -run '^TestEveryRequestEndsHonestlyWhateverFails$$' -timeout 24h -artifacts -outputdir bin/chaos \
		./cmd/maxrelay -chaos $(CHAOS) -seed $(SEED)

.PHONY: contract
contract: ## say where a release of the CLI differs: make contract CLI=2.1.331
contract: $(if $(CLI_VERSION),bin/cli/$(CLI_VERSION)/node_modules/.package-lock.json,cli)
	$(GO) test -c -o bin/contract.test ./session/claudetest
	bin/contract.test -test.run '^TestContract$$' -test.timeout 10m \
		$(if $(CLI_VERSION),-cli bin/cli/$(CLI_VERSION)/$(NATIVE) -cli-version $(CLI_VERSION),-cli $(CLI_BIN))

bin/cli/%/node_modules/.package-lock.json:
	mkdir -p bin/cli/$*
	cd bin/cli/$* && npm install --prefix . --ignore-scripts --no-audit --no-fund @anthropic-ai/claude-code@$*

.PHONY: bench
bench: cli ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./queue/... ./session/... ./stats/... ./api/... ./cmd/...

# Each takes its own number of rounds and prints medians; run it on a machine that is otherwise idle. Some twelve minutes.
FIGURES := ^Benchmark(FirstToken|Ways|ToolLoop|Memory|CacheReads|LargeBody|Streams2000|WorkerKilled)$$

.PHONY: figures
figures: cli ## measure latency, memory, cache, 2,000 streams, a failover
	@$(GO) test -run '^$$' -bench '$(FIGURES)' -benchtime 1x -timeout 30m ./session ./cmd/maxrelay 2>&1 | \
		awk '/^Benchmark.*[0-9]/ { print; fflush(); next } \
		     /^(goos|goarch|pkg|PASS|ok)/ { next } /^cpu:/ { print; next } /FAIL|panic/ { bad = 1 } { print > "/dev/stderr" } END { exit bad }'

.PHONY: nats-cli
nats-cli: ## build bin/nats, the broker's own command line
	cd tools/nats && $(GO) build -o ../../bin/nats github.com/nats-io/natscli/nats

.PHONY: clean
clean: ## remove what was built and installed, never data
	rm -rf bin $(CLI_DIR)/node_modules $(SDK_DIR)/node_modules
