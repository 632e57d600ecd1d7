# make run     set up and start the service          make test    set up and run everything
# make check   format, lint, types, fences, docs     make unit    the fast tests (< 10 s)
# Settings are environment variables: TALKSPURT_PORT=9000 make run

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check unit format clean

run: .venv/run.done
	@$(BIN)/talkspurt serve

test: .venv/test.done check
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: .venv/test.done
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_layers.py tests/test_docs.py

unit: .venv/test.done
	@$(BIN)/python -m pytest -q --hypothesis-profile=quick -m "not slow" tests/unit

format: .venv/test.done
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.venv/venv.done:
	@echo "setting up: virtual environment"
	@sh deploy/system-packages.sh venv $(PYTHON)
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/run.done: .venv/venv.done pyproject.toml deploy/constraints.txt deploy/system-packages.sh
	@echo "setting up: packages of the service"
	@sh deploy/system-packages.sh run
	@PIP_CONSTRAINT=deploy/constraints.txt $(PIP) install -e '.[speed,demo]'
	@touch $@

.venv/test.done: .venv/run.done
	@echo "setting up: packages of the tests"
	@sh deploy/system-packages.sh test
	@PIP_CONSTRAINT=deploy/constraints.txt $(PIP) install -e '.[speed,demo,mcp,test]'
	@touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
