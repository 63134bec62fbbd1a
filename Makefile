# boresight: everything a checkout needs. `make` alone lists what there is.
# Needs the network for `make setup` the first time; afterwards nothing here does.

VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
TORCH = torch==2.13.0
PEER = .venv-peer
PEER_PACKAGES = trl==1.16.0 transformers==5.23.0 peft accelerate datasets
PEER_PPO = $(PEER)/trl-with-ppo
PEER_PPO_PACKAGE = trl==1.12.0
RELEASE = .venv-release
# A file of tests stays in one process, since its tests share what it sets up; each process takes some gigabytes.
PYTEST = $(BIN)/python -m pytest -q --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-slow docs check bench experiments release-check clean

help:
	@echo 'make setup        virtual environment in $(VENV) with everything (PYTHON=... to choose the interpreter)'
	@echo 'make demo         the embedded example end to end, into runs/'
	@echo 'make test         all tests but the slow ones'
	@echo 'make test-slow    those: clusters, kills at any moment, models that learn for a while'
	@echo 'make docs         the documentation site into build/site, dead links fail'
	@echo 'make check        format, lint, types, docs, all tests: what CI runs'
	@echo 'make bench        training beside TRL, into docs/benchmarks.md'
	@echo 'make experiments  every figure that is not a benchmark: seeds, known optimum, labels, planner, museum of faults'
	@echo 'make release-check  wheel and sdist: built, looked into, tried on every Python that is present; long blocks of the pages'
	@echo 'make clean        caches and builds; environment and runs stay'

# Done again only where pyproject.toml has changed in content. The interpreter is the first that really runs and has
# venv: a version manager may put names on the path that only fail.
setup:
	@set -e; \
	key=$$(cksum < pyproject.toml); \
	if test -x $(BIN)/boresight && test "$$(cat $(STAMP) 2>/dev/null)" = "$$key"; then exit 0; fi; \
	chosen=''; \
	for python in $${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	    >/dev/null 2>&1; then chosen=$$python; break; fi; \
	done; \
	if test -z "$$chosen"; then \
	  echo "make setup: none of $${PYTHON:-python3.11 python3.12 python3.13 python3 python} is a Python 3.11 to 3.13 with venv that runs;" \
	    'install one, or name it: make setup PYTHON=/path/to/python3.12' >&2; exit 2; fi; \
	if ! test -x $(BIN)/python; then "$$chosen" -m venv $(VENV); fi; \
	echo "setting up $(VENV) with $$($(BIN)/python --version)"; \
	echo '  1/2 PyTorch, the largest part: minutes, nothing is printed meanwhile'; \
	$(BIN)/python -m pip install --disable-pip-version-check --quiet '$(TORCH)'; \
	echo '  2/2 Boresight with all that its tests and pages need: minutes again'; \
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[dev]'; \
	$(BIN)/boresight --version; \
	echo "$$key" > $(STAMP)

demo: setup
	$(BIN)/boresight demo

test: setup
	$(PYTEST) -m 'not slow'

test-slow: setup
	$(PYTEST) -m slow

docs: setup
	$(BIN)/python docs/build.py

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) docs
	$(MAKE) test
	$(MAKE) test-slow

# TRL lives in an environment of its own: it is measured against, never used.
bench: setup
	@set -e; if ! $(PEER)/bin/python -c 'import trl, boresight' 2>/dev/null; then \
	  $(BIN)/python -m venv $(PEER); \
	  $(PEER)/bin/python -m pip install --disable-pip-version-check --quiet '$(TORCH)'; \
	  $(PEER)/bin/python -m pip install --disable-pip-version-check --quiet $(PEER_PACKAGES) -e .; \
	fi
	@set -e; if ! test -d $(PEER_PPO)/trl; then \
	  $(PEER)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --target $(PEER_PPO) $(PEER_PPO_PACKAGE); \
	fi
	@status=0; \
	$(BIN)/python bench/same_losses.py --peer $(PEER)/bin/python --json docs/figures/same_losses.json || status=$$?; \
	$(BIN)/python bench/versus_trl.py --peer $(PEER)/bin/python --json docs/figures/versus_trl.json || status=$$?; \
	$(BIN)/python bench/versus_trl.py --peer $(PEER)/bin/python --setting default --models tiny --json docs/figures/versus_trl.json || status=$$?; \
	$(BIN)/python bench/versus_trl_ppo.py --peer $(PEER)/bin/python --trl-path $(PEER_PPO) --json docs/figures/versus_trl_ppo.json || status=$$?; \
	$(BIN)/python bench/scaling.py --peer $(PEER)/bin/python --json docs/figures/scaling.json --plot docs/figures/scaling.svg || status=$$?; \
	$(BIN)/python bench/memory.py --json docs/figures/memory.json || status=$$?; \
	$(BIN)/python bench/traps.py --json docs/figures/traps.json || status=$$?; \
	$(BIN)/python bench/time_shares.py --json docs/figures/time_shares.json || status=$$?; \
	$(BIN)/python bench/spared_memory.py --json docs/figures/spared_memory.json || status=$$?; \
	$(BIN)/python bench/judge_endpoint.py --json docs/figures/judge_endpoint.json || status=$$?; \
	$(BIN)/python bench/report.py --json docs/figures/report.json || status=$$?; \
	$(BIN)/python bench/rollout.py --json docs/figures/rollout.json --plot docs/figures/rollout.svg || status=$$?; \
	$(BIN)/python docs/generate.py; exit $$status

experiments: setup
	@status=0; \
	$(BIN)/python experiments/interval_coverage.py || status=$$?; \
	$(BIN)/python experiments/exact_optimum.py --json docs/figures/exact_optimum.json || status=$$?; \
	$(BIN)/python experiments/reward_kl_frontier.py --json docs/figures/reward_kl_frontier.json \
	  --plot docs/figures/reward_kl_frontier.svg || status=$$?; \
	$(BIN)/python experiments/rlaif.py --json docs/figures/rlaif.json --plot docs/figures/rlaif.svg || status=$$?; \
	$(BIN)/python experiments/plan_published.py || status=$$?; \
	$(BIN)/python experiments/plan_against_runs.py --calibrate --json docs/figures/plan_against_runs.json || status=$$?; \
	$(BIN)/python experiments/pipeline_simulator.py --json docs/figures/pipeline_simulator.json \
	  --plot docs/figures/pipeline_simulator.svg || status=$$?; \
	$(BIN)/python experiments/ray_shares.py --json docs/figures/ray_shares.json || status=$$?; \
	$(BIN)/python experiments/demo_seeds.py --json docs/figures/demo_seeds.json || status=$$?; \
	$(BIN)/python -m experiments.museum.build || status=$$?; \
	$(BIN)/python -m experiments.museum.measure --json docs/figures/museum.json --figures docs/figures/museum || status=$$?; \
	$(BIN)/python docs/generate.py; exit $$status

# Tools that only a release needs have an environment of their own. Needs the network: every environment is a clean one.
# The last line runs the blocks of the pages that take long (tests/docs/blocks.py): a quarter of an hour and more.
release-check: setup
	@if ! $(RELEASE)/bin/python -c 'import build, twine' 2>/dev/null; then \
	  $(BIN)/python -m venv $(RELEASE) && \
	  $(RELEASE)/bin/python -m pip install --disable-pip-version-check --quiet build twine; \
	fi
	$(RELEASE)/bin/python release/check.py --torch '$(TORCH)'
	$(BIN)/python -m pytest -q -s tests/docs/test_long_blocks.py --long-blocks

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
