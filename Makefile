# tierd's tasks. "make" without a target prints the menu, which is made from the lines that begin with ##.
# Everything runs one step after the other, the cheap ones first, and stops at the first that fails.

.NOTPARALLEL:
.DEFAULT_GOAL := help
SHELL := /bin/sh
GO ?= go

# The kernels of the emulated machine: a version that test/vm fetches, or the path of a vmlinuz.
KERNEL  ?= $(or $(TIERD_VM_KERNEL),6.12)
KERNELS ?= 6.1,6.12,7.3
# The depths of its page tables.
LEVELS  ?= 5,4
# More arguments of the demo and of the benchmark, such as DEMO="--kernel 6.1 --duration 60s".
DEMO    ?=
BENCH   ?=
# More arguments of the simulation, such as SIM="-only zipf,uniform -seeds 1".
SIM     ?=
FUZZTIME ?= 5s
PREFIX  ?= /usr/local

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  = -s -w $(if $(VERSION),-X main.version=$(VERSION))

.PHONY: help
help:
	@awk '/^##@/ { printf "\n%s\n", substr($$0, 5); next } \
	      /^## /  { text = substr($$0, 4); next } \
	      /^[a-z0-9-]+:/ && text != "" { sub(/:.*/, ""); printf "  make %-15s %s\n", $$0, text; text = "" }' $(MAKEFILE_LIST)

##@ See it

## boot a machine with three tiers of memory and watch tierd at work in it
.PHONY: demo
demo: deps
	@mkdir -p bin
	@$(GO) build -o bin/tierd-demo ./test/demo
	@bin/tierd-demo --kernel "$(KERNEL)" $(DEMO)

## measure what tierd reaches, beside the kernel's own tiering
.PHONY: bench
bench: deps
	$(GO) run ./test/bench $(BENCH)

## simulate all workloads under tierd and the other policies
.PHONY: sim
sim:
	$(GO) run ./test/sim $(SIM)

##@ Test it

## run all tests, those in the emulated machine included
.PHONY: test
test: vet deps unit vmtest

## run the tests that need no emulated machine
.PHONY: unit
unit:
	$(GO) test ./...

# The packages that share memory between goroutines. The others take long with the detector, and it has nothing to find in them.
RACE ?= ./cmd/... ./internal/control ./internal/daemon ./internal/load ./internal/metrics ./migrate ./test/vm/wire
## run the tests of packages with goroutines under the race detector, which needs a C compiler
.PHONY: race
race:
	CGO_ENABLED=1 $(GO) test -race $(RACE)

# The machine's own tests take one kernel; the guest tests take a list.
## run the tests in the emulated machine: KERNEL=6.12 LEVELS=5,4
.PHONY: vmtest
vmtest: deps
	TIERD_VM_KERNEL="$(firstword $(subst $(comma), ,$(KERNEL)))" TIERD_VM_KERNELS="$(KERNEL)" TIERD_VM_LEVELS="$(LEVELS)" \
		$(GO) test -tags vm -v -count=1 -p 1 -timeout 60m ./test/vm/... ./test/scenario/...
comma := ,

## the same on each of KERNELS=6.1,6.12,7.3
.PHONY: vmtest-all
vmtest-all:
	@$(MAKE) vmtest KERNEL="$(KERNELS)"

## let each fuzz test look for FUZZTIME=5s
.PHONY: fuzz-smoke
fuzz-smoke:
	@set -e; for package in $$($(GO) list ./...); do \
		list=$$($(GO) test -list '^Fuzz' $$package); \
		for fuzz in $$(printf '%s\n' "$$list" | grep '^Fuzz'); do \
			echo "$$package $$fuzz"; \
			$(GO) test -run '^$$' -fuzz "^$$fuzz$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

##@ Build it

## make the static programs bin/tierd, bin/tierload and bin/tiervm
.PHONY: build
build:
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/ ./cmd/... ./test/vm/cmd/tiervm

## put bin/tierd into PREFIX=/usr/local
.PHONY: install
install: build
	install -D -m 0755 bin/tierd "$(DESTDIR)$(PREFIX)/sbin/tierd"

## compile the eBPF programs, with clang 14
.PHONY: generate
generate:
	test/vm/deps.sh --generate
	$(GO) generate ./...

## show that what is committed is what generate makes
.PHONY: generate-check
generate-check: generate
	git diff --exit-code --stat -- '*_bpfel.go' '*_bpfel.o'

## remove what was built
.PHONY: clean
clean:
	rm -rf bin out

##@ Check it

## format and vet, for every set of build tags
.PHONY: vet
vet:
	@bad=$$(find . -path ./.cache -prune -o -name '*.go' -exec gofmt -l {} +) || exit 1; \
		if [ -n "$$bad" ]; then printf 'gofmt: not formatted:\n%s\n' "$$bad" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags guest,vm ./...

## build and vet for arm64
.PHONY: arm64
arm64:
	GOARCH=arm64 CGO_ENABLED=0 $(GO) build ./...
	GOARCH=arm64 CGO_ENABLED=0 $(GO) vet -tags guest,vm ./...

## vet, arm64 and staticcheck
.PHONY: lint
lint: vet arm64
	$(GO) tool staticcheck -tags guest,vm ./...

## install what the emulated machine needs (QEMU, busybox), and fetch its kernel
.PHONY: deps
deps:
	@test/vm/deps.sh
	@$(GO) run ./test/vm/cmd/tiervm kernel $(subst $(comma), ,$(KERNEL)) >/dev/null
