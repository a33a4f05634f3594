# The two commands to know: `make serve` and `make test`. `make help` lists the rest.

VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
CAROUSEL_MODEL_REPOSITORY ?= model-repository
export CAROUSEL_MODEL_REPOSITORY

BIN := $(VENV)/bin
# Which build of PyTorch is installed: cpu where nothing is said; cu126 and the like for a GPU, auto,
# or pip for the one that pip takes. A build that is named has a stamp of its own, and so is
# installed over another one.
STAMP := $(VENV)/.installed$(TORCH_BACKEND:%=-%)
CODE := carousel/__init__.py install_torch.py models export service client tests benchmarks
# setuptools builds the package itself and stands outside its dependencies, so it is named here.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install -c constraints.txt

# The first of these that runs, is 3.11 to 3.13 and can make an environment.
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3
PROBE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.PHONY: help setup serve models test check format bench bench-sessions bench-protocols profile gpu field chaos fuzz mutants soak pins clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv and install the pinned dependencies (TORCH_BACKEND=cu126: for a GPU)

$(STAMP): pyproject.toml client/pyproject.toml constraints.txt
	@set -e; found=; \
	for python in $(PYTHONS); do \
	  if "$$python" -c '$(PROBE)' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Carousel needs Python 3.11, 3.12 or 3.13 with its venv module, and found none of:" >&2; \
	  echo "  $(PYTHONS)" >&2; \
	  echo "Install one (on Debian and Ubuntu: python3 and python3-venv)," >&2; \
	  echo "or name it: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "==> making $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv $(VENV); \
	fi; \
	rm -f $(VENV)/.installed*; \
	echo "==> installing pinned dependencies, PyTorch among them (a minute or two)"; \
	$(PIP) setuptools; \
	$(BIN)/python install_torch.py $(TORCH_BACKEND); \
	$(PIP) --no-build-isolation -e ./client -e '.[sessions,torch,dev]'; \
	torch=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("torch"))'); \
	echo "==> installed, with PyTorch $$torch"; \
	touch $(VENV)/.installed $@

models: setup  ## train and export the reference models that the model repository lacks
	@$(BIN)/carousel-export --zoo all --if-missing --model-repository $(CAROUSEL_MODEL_REPOSITORY)

serve: models  ## set up, train and export the reference models, serve them on 127.0.0.1 (PORT=8000)
	@exec $(BIN)/carousel-serve --host $(HOST) --port $(PORT)

# A file's tests share what they start, so a worker takes files; one test by hand needs no workers.
test: setup  ## set up, run the whole test suite, a worker a core (TEST="-k lstm": a part of it)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(TEST)

check: setup  ## format, lint and types, changing nothing
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy

format: setup  ## put the code into its format
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

bench: setup  ## the service under load beside an echo and a naive app (6 minutes; BENCH=--quick: 1)
	@$(BIN)/python -m benchmarks --model-repository $(CAROUSEL_MODEL_REPOSITORY) $(BENCH)

bench-sessions: setup  ## what durable, many, idle and cold sessions cost (10 minutes; BENCH=--quick: 3)
	@$(BIN)/python -m benchmarks.sessions $(BENCH)

bench-protocols: setup  ## WebSocket, /v2, Silero VAD and the Python client (4 minutes; BENCH=--quick: 1)
	@$(BIN)/python -m benchmarks.protocols $(BENCH)

profile: setup  ## where the microseconds of a step go, by stage (PROFILE=--quick: 2 minutes, the small model)
	@$(BIN)/python -m benchmarks.profile $(PROFILE)

gpu: setup  ## what a GPU must be shown to do, and how fast (4 minutes; GPU="--device cpu --quick": none)
	@PYTHON=$(BIN)/python bash tests/gpu/run.sh $(GPU)

field: setup  ## export modules of public libraries, write docs/field.md (20 minutes; FIELD="--only cells")
	@$(BIN)/python -m benchmarks.field $(FIELD)

chaos: setup  ## kill -9 under load, a thousand times (45 minutes; stop it, and it goes on the next time)
	@$(BIN)/python -m tests.harness.chaos --store sqlite --kills 1000 --steps 10000000 --state chaos-results

fuzz: $(VENV)/.fuzz  ## a million hostile inputs, write docs/security.md (20 minutes; FUZZ=--quick: 3)
	@$(BIN)/python -m tests.harness.fuzz --state fuzz-results$(FUZZ) --page docs/security.md $(FUZZ)

$(VENV)/.fuzz: $(STAMP)
	@$(PIP) --no-build-isolation -e '.[fuzz]'
	@touch $@

mutants: $(VENV)/.mutants  ## plant small faults, and see that the tests notice (hours; stop it, and it goes on)
	@$(BIN)/python -m tests.harness.mutants --state mutants-results $(MUTANTS)

$(VENV)/.mutants: $(STAMP)
	@$(PIP) --no-build-isolation -e '.[mutants]'
	@touch $@

soak: setup  ## sessions that come and go for two hours, and how memory grows (stop it, and it goes on)
	@$(BIN)/python -m tests.harness.soak --state soak-results $(SOAK)

pins: setup  ## write constraints.txt from what is installed
	@{ sed '/^[^#]/d' constraints.txt; \
	  $(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//'; \
	} > constraints.new
	@mv constraints.new constraints.txt

clean:  ## remove .venv and what tools left behind; models and results stay
	rm -rf $(VENV) build dist *.egg-info client/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -exec rm -rf {} +
