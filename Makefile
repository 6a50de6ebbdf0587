# Two commands do all the set-up: `make demo` and `make test`. Everything else here is what they are made of.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_SECONDS ?= 60
# Where `make install` puts edged, with a Python environment of its own.
PREFIX ?= /opt/edged
# Most tests wait for something real to happen: three at a time suit two cores.
TEST_WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help venv install demo test test-deep test-packages check fuzz soak format bench-recorder bench-recorder-short bench-recorder-max bench-archive bench-ledger bench-report lock clean

help:
	@echo "make demo            four simulated cameras, a broker and edged, told as a story (DEMO_SECONDS=$(DEMO_SECONDS))"
	@echo "make install         as root: edged below $(PREFIX), its command, units, user and folders; starts nothing"
	@echo "make test            everything that proves edged: make check, then every test"
	@echo "make test-deep       the tests that make up their own examples, ten times as many: minutes, not seconds"
	@echo "make check           format, lint, types, import contracts, documents"
	@echo "make bench-recorder  edged's recorder beside its peers: 16, 64 and 128 cameras, as JSON lines; 20 minutes"
	@echo "make bench-recorder-short  edged and one ffmpeg per camera, 16 cameras; two minutes"
	@echo "make bench-recorder-max  the most cameras this machine records without losing a packet"
	@echo "make bench-archive   an index of eleven million segments, and all of bench-ledger (some GB, ten minutes)"
	@echo "make bench-ledger    the ledger at a million entries, and an inspector's check"
	@echo "make soak            64 cameras and random faults for 20 minutes"
	@echo "make fuzz            the recorder's cores under atheris"
	@echo "make bench-report    what a scrape of 256 cameras costs"
	@echo "make format          put the code into the house format"
	@echo "make lock            resolve the dependencies anew (needs uv)"

.PHONY: python
python:
	@command -v $(PYTHON) >/dev/null || { echo "missing: $(PYTHON) (Python 3.11 or later; Debian: apt install python3)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "missing: Python 3.11 or later; $(PYTHON) is older (try make PYTHON=python3.12)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "missing: the venv module (Debian: apt install python3-venv)"; exit 1; }

$(VENV)/.installed: requirements-dev.lock pyproject.toml | python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

venv: $(VENV)/.installed

# Again for an upgrade: what runs goes on until it is restarted, or reloaded in the recorder's case.
install: python
	@test "$$(id -u)" = 0 || { echo "make install needs root"; exit 1; }
	umask 022 && $(PYTHON) -m venv $(PREFIX)
	umask 022 && $(PREFIX)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	umask 022 && $(PREFIX)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	ln -sfn $(PREFIX)/bin/edged /usr/local/bin/edged
	install -m 644 -D -t /usr/local/share/edged config/edged.example.toml config/jurisdictions/*.toml
	install -m 644 -D -t /etc/sysusers.d systemd/sysusers.d/edged.conf
	install -m 644 -D -t /etc/tmpfiles.d systemd/tmpfiles.d/edged.conf
	install -m 644 -D -t /etc/systemd/system systemd/edged.service systemd/edged-recorder@.service
	sed -i 's,/usr/bin/edged,$(PREFIX)/bin/edged,' /etc/systemd/system/edged.service /etc/systemd/system/edged-recorder@.service
	systemd-sysusers edged.conf
	systemd-tmpfiles --create edged.conf
	@! test -d /run/systemd/system || systemctl daemon-reload
	@echo "installed; README.md, \"As a service\", tells the next step"

demo: venv
	@$(BIN)/python -m simulators demo --seconds $(DEMO_SECONDS)

check: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/docs

# Debian packages the fuller tests use; without root they are reported as missing and the tests count as skipped.
test-packages:
	@bash tests/packages.sh

test: venv test-packages check
	@# Real processes, disks and brokers side by side: what fails in the crowd is asked once more, alone, and must pass then.
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal || { \
	  echo "asked once more, alone:"; \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

# 2,000 lives of a box (tests/state), and every other generated test tenfold. A failure is kept in .hypothesis and tried
# first by whatever runs next, `make test` too.
test-deep: venv
	EDGED_DEEP=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal -m hypothesis --hypothesis-show-statistics
	@# Every cut of every act: killed, and without power.
	EDGED_DEEP=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal tests/cuts

bench-recorder: venv
	@$(BIN)/python -m tests.bench.recorder

bench-recorder-short: venv
	@$(BIN)/python -m tests.bench.recorder --short

bench-recorder-max: venv
	@$(BIN)/python -m tests.bench.recorder_max

bench-archive: venv
	@$(BIN)/python -m tests.bench.archive

bench-ledger: venv
	@$(BIN)/python -m tests.bench.ledger

# atheris is no dependency: it is needed here alone (pip install atheris).
fuzz: venv
	@$(BIN)/python -m tests.fuzz

soak: venv
	@$(BIN)/python -m tests.soak

bench-report: venv
	@$(BIN)/python -m tests.bench.report

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
