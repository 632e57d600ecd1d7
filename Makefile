# make run     set up and start the service          make test    set up and run everything
# make check   format, lint, types, fences, docs     make unit    the fast tests (< 10 s)
# make fuzz    try inputs on the parsers until stopped, or for so long: make fuzz SECONDS=3600
# Settings are environment variables: TALKSPURT_PORT=9000 make run

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check unit fuzz format lock clean

run: .venv/run.done
	@$(BIN)/talkspurt serve

test: .venv/test.done check
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: .venv/test.done
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_layers.py tests/test_docs.py

# Bytecode is written whatever the environment says: to rewrite all assertions anew takes seconds.
unit: .venv/test.done
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q --hypothesis-profile=quick -m "not slow" tests/unit

SECONDS ?= 0
fuzz: .venv/test.done
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

format: .venv/test.done
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.venv/venv.done:
	@echo "setting up: virtual environment"
	@sh deploy/system-packages.sh venv $(PYTHON)
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/run.done: .venv/venv.done pyproject.toml deploy/run.lock deploy/system-packages.sh
	@echo "setting up: packages of the service"
	@sh deploy/system-packages.sh run
	@$(PIP) install --require-hashes -r deploy/run.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/test.done: .venv/run.done .venv/clients.done deploy/test.lock
	@echo "setting up: packages of the tests"
	@sh deploy/system-packages.sh test
	@$(PIP) install --require-hashes -r deploy/test.lock
	@touch $@

# Clients of other makers, for tests in the browser; without node these tests are skipped.
.venv/clients.done: .venv/venv.done tests/clients/package-lock.json
	@if command -v npm >/dev/null; then echo "setting up: clients of other makers"; cd tests/clients && npm ci --silent || \
		echo "setting up: going on without them: their tests are skipped" >&2; \
	else echo "setting up: no npm here: the tests of other makers' clients are skipped" >&2; fi
	@touch $@

# Pin every package and its hashes anew, after a change of the dependencies; `make lock UPGRADE=--upgrade` takes newer ones.
LOCK = $(BIN)/uv pip compile pyproject.toml deploy/build.in --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-annotate --no-emit-index-url --custom-compile-command "make lock" --quiet $(UPGRADE)
lock: .venv/venv.done
	@$(PIP) install uv
	@$(LOCK) --extra speed --extra demo --extra history --output-file deploy/run.lock >/dev/null
	@$(LOCK) --extra speed --extra demo --extra history --extra mcp --extra otel --extra test --output-file deploy/test.lock >/dev/null

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
