# make run    the server and its page, everything allowed, on loopback
# make test   everything, set-up included
# make check  what a pull request must pass: static checks, then make test
# make bench  numbers, into bench/results

GO ?= go
LINT = $(GO) tool -modfile=tools/go.mod golangci-lint
FUZZTIME ?= 30s
BIN = bin/fanfare

.DEFAULT_GOAL := help
.PHONY: help run build setup test check format lint tidy cross vuln docs fuzz bench clean

help:
	@sed -n 's/^# //p' Makefile

run:
	$(GO) run ./cmd/fanfare serve --dev

build:
	@$(GO) build -trimpath -o $(BIN) ./cmd/fanfare

# What tests need besides Go: a C compiler for the race detector, npm packages,
# a Chrome or Chromium.
setup:
	@test/setup.sh

test: setup build
	@FANFARE_BIN="$(CURDIR)/$(BIN)" $(GO) run ./test/report

# The import rules and the checks of the docs are tests, and so part of `test`.
check: lint tidy cross vuln
	@$(MAKE) --no-print-directory test

format:
	$(LINT) fmt

# Builds golangci-lint at the version of tools/go.mod the first time.
lint:
	@echo "lint: format, vet and the linters of .golangci.yml"
	@$(LINT) fmt --diff
	@$(LINT) run
	@cd test/sdk && $(GO) tool -modfile=../../tools/go.mod golangci-lint run

tidy:
	@echo "tidy: go.mod and go.sum hold what is imported"
	@$(GO) mod tidy -diff
	@cd test/sdk && $(GO) mod tidy -diff

cross:
	@for os in darwin windows; do \
		echo "cross: $$os"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=arm64 $(GO) vet ./... || exit 1; \
	done

# Known vulnerabilities in what the code can reach; see tools/vuln.sh for what
# happens where the database cannot be asked.
vuln:
	@echo "vuln: known vulnerabilities"
	@tools/vuln.sh

# The reference pages that are written from the code.
docs:
	$(GO) test ./internal/config ./internal/metrics ./internal/protocol/centrifuge -update

# Every fuzz target of the module, FUZZTIME each.
fuzz:
	@tools/fuzz.sh $(FUZZTIME)

bench:
	$(GO) run ./bench/run

clean:
	rm -rf bin test/npm/node_modules test/browser/node_modules
