# make train   sets up .venv, trains the small config on the bundled corpus
# make test    sets up .venv, runs the tests (PTB_DATA=DIR adds those on PTB,
#              TASKS_DATA=DIR those on data of tasks/, ARGS=--slow the slow ones)
# make lint    sets up .venv, checks style and types
# make torture sets up .venv, kills runs of several models 96 times (12 minutes)
# make reproduce MODEL=medium  sets up .venv, trains or resumes a model on the
#              Penn Treebank, and checks its row of the table of results
#              (PTB_DATA=DIR: the text is there)
# make bench   sets up .venv, times training together with its peers, and writes
#              to results/speed/, in one folder per processor
# make peers   sets up .venv-peers, with the peers that `bench` compares with
# make clean   removes both and the caches; runs and data stay
# PYTHON=python3.12 picks the interpreter, ARGS="--seed=2" adds flags or options.

PYTHON ?= python3
MODEL ?= small
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

.PHONY: train test lint torture reproduce bench peers clean

train: $(VENV)/run.done
	$(BIN)/python ptb_word_lm.py --model=small $(ARGS)

test: $(VENV)/test.done
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/mypy

torture: $(VENV)/test.done
	KILLS=16 $(BIN)/python -m pytest -s --slow tests/scripts/kill_test.py $(ARGS)

reproduce: $(VENV)/run.done
	$(BIN)/python -m benchmarks.reproduce --model=$(MODEL) $(ARGS)

bench: $(VENV)/run.done
	$(BIN)/python -m benchmarks.speed --model=small --model=medium --model=large --output=results/speed/{processor} $(ARGS)

peers: $(VENV)-peers/peers.done

clean:
	rm -rf $(VENV) $(VENV)-peers .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per requirements file: a change of the file renews the set-up.
$(VENV)/run.done: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/test.done: $(VENV)/run.done requirements-test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	touch $@

$(VENV)-peers/peers.done: requirements-peers.txt
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-peers.txt
	touch $@
