# make help lists what one can do.
.DEFAULT_GOAL := help
GO ?= go
BIN := bin/davit
TOOLS := $(GO) tool -modfile=.ci/tools/go.mod
VERSION ?= 0.1.0-dev
KILLS ?= 300
ROUNDS ?= 1000
FUZZ ?= 1m
MODULES := acceptance examples/plugins/calver examples/plugins/telegram
SYSTEMS := linux/amd64 linux/arm64 linux/arm/7 darwin/arm64
EMULATED := ./state ./state/memory ./state/internal/seal ./sdk/wire/... ./sdk/internal/msgpack/... ./core/view ./core/engine/...

.PHONY: help build quickstart demo test test-short test-fresh systems emulated race fuzz vuln acceptance attack kill bench generate lint fmt clean setup

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/davit
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/davit

quickstart: build ## a first pipeline on this machine: no cluster, no daemon
	@DAVIT=$(CURDIR)/$(BIN) examples/quickstart/run.sh

demo: build ## the whole story on real servers: push, plan, apply, drift, a bad commit, destroy
	cd acceptance && DAVIT_DEMO=1 $(GO) test -count=1 -timeout 80m -v -run TestSmartbiz .

test: ## everything: unit, command line and acceptance tests, and then the numbers that they have counted
	@command -v npm >/dev/null && command -v qemu-arm-static >/dev/null || acceptance/setup.sh
	@numbers=$$(mktemp); export DAVIT_NUMBERS=$$numbers; \
	$(GO) test -timeout 30m ./... && $(MAKE) --no-print-directory systems emulated && (cd acceptance && $(GO) test -count=1 -timeout 80m -p 1 ./...); ended=$$?; \
	echo; echo "Numbers:"; sort $$numbers; rm $$numbers; exit $$ended

test-short: ## everything but the acceptance tests
	$(GO) test -timeout 30m ./...
	@$(MAKE) --no-print-directory systems

test-fresh: ## what CI runs, on a clone and with empty caches (DAVIT_LAB_CACHE=... keeps the test servers that are built already)
	.ci/fresh .ci/run

systems: ## check the types of all packages for each supported system
	$(GO) run ./internal/crosscheck $(SYSTEMS)

emulated: ## unit tests on emulated 32-bit and 64-bit ARM processors (needs qemu-user-static)
	CGO_ENABLED=0 GOARCH=arm GOARM=7 $(GO) test -short -timeout 30m -exec qemu-arm-static $(EMULATED)
	CGO_ENABLED=0 GOARCH=arm64 $(GO) test -short -timeout 30m -exec qemu-aarch64-static $(EMULATED)

race: ## unit tests with the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 30m ./core/... ./sdk/... ./state/... ./plugins/... ./internal/...

fuzz: ## fuzz each parser of what strangers write (FUZZ=1m each; FUZZ=10m takes hours)
	.ci/fuzz $(FUZZ)

vuln: ## look for known vulnerabilities (needs the network: the database is https://vuln.go.dev)
	$(TOOLS) govulncheck ./...

acceptance: ## the tests on real servers
	cd acceptance && $(GO) test -count=1 -timeout 80m -p 1 ./...

attack: build ## try what strangers could write against bin/davit, and print what held
	@log=$$(mktemp); DAVIT_ATTACK_BINARY=$(CURDIR)/$(BIN) $(GO) test -count=1 -v -run '^TestAttack' ./cmd/davit ./plugins/kubernetes/render/cell >$$log 2>&1; ended=$$?; \
	[ $$ended = 0 ] || cat $$log; grep '^attack: FAILED' $$log; \
	awk '/^attack: tried/ {t += $$3; h += $$5; f += $$7} END {printf "attack: tried %d, held %d, failed %d\n", t, h, f}' $$log; rm $$log; exit $$ended

kill: ## kill applies 300 times in each way, here and with state on real servers, and those of 1,000 random stacks (KILLS=300 ROUNDS=1000; DAVIT_KILL_SEED=... repeats a run)
	DAVIT_KILLS=$(KILLS) $(GO) test -count=1 -timeout 80m -v -run 'TestKilledApply$$' ./cmd/davit
	DAVIT_KILLS=$(ROUNDS) $(GO) test -count=1 -timeout 170m -v -run TestKilledApplyOfRandomStacks ./cmd/davit
	cd acceptance && DAVIT_KILLS=$(KILLS) $(GO) test -count=1 -timeout 170m -v ./kill

bench: build ## measure, side by side with peers where there are any (BENCH="-n 5000 -limit 10m" for the long way)
	$(GO) test -run '^$$' -bench . -benchtime 1x ./core/... ./sdk/... ./state/... ./plugins/git/... ./cmd/...
	cd acceptance && $(GO) run ./bench $(BENCH)
	cd acceptance && $(GO) test -run '^$$' -bench . -benchtime 5x .

generate: ## write generated code again (needs protoc)
	$(GO) build -modfile=.ci/tools/go.mod -o bin/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	PATH=$(CURDIR)/bin:$$PATH protoc -I . --go_out=. --go_opt=paths=source_relative \
		--go-grpc_out=. --go-grpc_opt=paths=source_relative schemas/plugin/v1/plugin.proto
	cp schemas/plugin/v1/plugin.proto examples/plugins/http-source/
	$(GO) test ./cmd/davit -run TestReferencePagesAreUpToDate -update

lint: ## check the style
	@files=$$(gofmt -l $$(git ls-files '*.go')) && [ -z "$$files" ] || { echo "make fmt is needed for: $$files"; exit 1; }
	$(GO) vet ./...
	for m in $(MODULES); do (cd $$m && $(GO) vet ./...) || exit 1; done
	$(TOOLS) golangci-lint run ./...

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

setup: ## install the system packages that the test servers need (as root, on Debian)
	acceptance/setup.sh

clean: ## remove what was built here
	rm -rf bin
