# Two commands do everything: `go run ./cmd/cambio dev` starts a server,
# `make test` installs what the tests need and runs them all.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

GO ?= go

# Where the tests' real parts are kept between runs.
export CAMBIO_REALPARTS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cambio-realparts

# How long each fuzz target runs in `make test`.
FUZZTIME ?= 3s

# How many times `make crash` kills the server.
CYCLES ?= 200

.PHONY: help
help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: build
build: ## Build bin/cambio
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/cambio ./cmd/cambio

.PHONY: test
test: vet parts unit postgres wire real fuzz ## Install what the tests need and run them all
	@echo "make test: all passed"

.PHONY: vet
vet: ## Check formatting and run go vet in every module
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...
	cd conformance/hostile && $(GO) vet ./...
	cd test/clients/go && $(GO) vet ./...

.PHONY: parts
parts: ## Install the tests' real parts: Debian and npm packages, a Kubernetes API server (minutes, once)
	test/realparts/install.sh

.PHONY: unit
unit: ## Run the tests that need nothing but Go
	$(GO) test . ./bench/... ./cambiotest/... ./cmd/... ./internal/... ./resourceserver/... ./workload/...

# One package at a time, for some measure time; never from the test cache,
# which does not see the sources of the server that they build and start.
.PHONY: wire
wire: ## Run the wire scripts and the hostile driver against the server
	$(GO) test -count=1 -p 1 ./conformance ./conformance/devserver
	$(GO) test -count=1 -p 1 -v ./conformance/hostiletest

.PHONY: real
real: ## Run the real clients, Kubernetes, the second provider and the crash cycles
	$(GO) test -count=1 -p 1 -timeout 20m ./test/... ./examples/...

.PHONY: race
race: ## Run the tests of everything concurrent under the race detector
	$(GO) test -race ./internal/arm ./internal/audit ./internal/development ./internal/explain ./internal/graph ./internal/keys ./internal/limit ./internal/oidc ./internal/server ./internal/store ./internal/token ./internal/tracing/otlp ./internal/trail ./internal/trustapi

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME
	FUZZTIME=$(FUZZTIME) test/fuzz.sh

.PHONY: crash
crash: ## Kill the server under load CYCLES times and look for lost writes
	CAMBIO_CRASH_CYCLES=$(CYCLES) $(GO) test -count=1 -timeout 60m -v -run Crash ./internal/store ./test/crash

.PHONY: powerloss
powerloss: ## Take the power away from SQLite 500 times and from PostgreSQL 100 times and look for lost writes (ten minutes)
	CAMBIO_POWER_CYCLES=500 $(GO) test -count=1 -timeout 60m -v ./test/powerloss

.PHONY: corruption
corruption: ## Flip bits of a database and cut its files off 1,000 times each (a minute)
	CAMBIO_DAMAGES=1000 $(GO) test -count=1 -timeout 20m -v -run 'Flipped|Truncated' ./internal/store

.PHONY: count
count: ## Count the records of 100,000 requests to a server that is killed ten times
	CAMBIO_REQUESTS=100000 $(GO) test -count=1 -timeout 60m -v -run OneRecordEach ./test/crash

.PHONY: model
model: ## Check the model of docs/consistency.md in two million random schedules (minutes)
	CAMBIO_SCHEDULES=2000000 $(GO) test -count=1 -timeout 60m -v -run Protocol ./internal/store/consistency

.PHONY: postgres
postgres: ## Run on PostgreSQL the tests of the store and of what stands on it
	$(GO) run ./test/postgres/with $(GO) test -count=1 -p 1 ./internal/store/... ./internal/keys ./internal/graph ./internal/arm ./internal/trustapi ./internal/trail ./internal/server

.PHONY: replicas
replicas: ## Try everything about replicas 1,000 times, and reading one's writes 10,000 times (about an hour)
	CAMBIO_TRIALS=10000 $(GO) test -count=1 -timeout 60m -v -run ReadYourWrites ./test/replicas
	CAMBIO_TRIALS=1000 $(GO) test -count=1 -timeout 90m -v -skip ReadYourWrites ./test/replicas

# A module of its own, which no other target builds.
.PHONY: msgraph-sdk
msgraph-sdk: ## Run Microsoft Graph's SDK for Go against the server (its build: minutes, 5 GB of memory)
	CAMBIO_MSGRAPH_SDK=1 $(GO) test -count=1 -timeout 60m -v -run MSGraphSDK ./test/clients
	cd test/clients/msgraph-sdk && $(GO) vet -trimpath .

# A module of its own, which no other target builds.
.PHONY: helm
helm: ## Install the webhook's Helm chart on a Kubernetes API server (Helm's build: minutes, once)
	CAMBIO_HELM=1 $(GO) test -count=1 -timeout 30m -v -run Chart ./test/kubernetes

.PHONY: build-boring
build-boring: ## Build bin/cambio-boring with the toolchain's boringcrypto (cgo; docs/performance.md)
	GOEXPERIMENT=boringcrypto CGO_ENABLED=1 $(GO) build -trimpath -o bin/cambio-boring ./cmd/cambio

.PHONY: bench
bench: ## Measure the exchange against the cryptographic floor (about fifteen minutes)
	$(GO) run ./bench

.PHONY: bench-boring
bench-boring: ## Measure server and floor built with boringcrypto
	GOEXPERIMENT=boringcrypto CGO_ENABLED=1 $(GO) run ./bench -variant boring -databases sqlite -credentials 1000

.PHONY: bench-scale
bench-scale: ## Measure with 1 and 10 million credentials (10 GB of disk)
	$(GO) run ./bench -resume -databases sqlite -credentials 1000000,10000000

.PHONY: plots
plots: ## Draw docs/performance.json into docs/performance
	$(GO) run ./bench plot

.PHONY: demo
demo: parts ## Show a Kubernetes workload exchanging its token, step by step
	$(GO) run ./examples/kubernetes

.PHONY: generate
generate: ## Write the generated pages of docs/
	$(GO) test -count=1 -run TestGeneratedPages . ./cmd/cambio -update
