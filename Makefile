# Everything runs in .venv from locked versions; each stamp in it records one step, so a second make starts at once.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := provisioning/lock

# PortAudio and ALSA for the microphone, a compiler for PyAudio, search and tests, speech for demo and tests.
SYSTEM_PACKAGES ?= portaudio19-dev libasound2-dev gcc g++ libc6-dev pocketsphinx-testdata

PIP     := $(BIN)/python -m pip --disable-pip-version-check -qq
INSTALL := $(PIP) install --no-deps --no-build-isolation

.DEFAULT_GOAL := help
.PHONY: help demo test test-image rootfs lint lock lock-upgrade peers setup clean

help:  ## Say what each target does
	@echo "coral-dictation: offline dictation on a Raspberry Pi 4 and a Coral USB Accelerator"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: setup  ## Build the bundle, transcribe recorded speech, show text, word error rate and speed
	@$(BIN)/python tests/demo.py

test: lint  ## Run the whole suite; one part: make test TESTS='tests/device -k panel'
	@$(BIN)/python -m pytest $(TESTS)

test-image: setup  ## Build a card's image, boot it in a virtual Pi and live its life; as root, see docs/virtual-pi.md
	@[ -d models/build/base ] || $(BIN)/python convert/build.py
	@$(BIN)/python -m pytest -m image -s $(TESTS)

rootfs: setup  ## Build the bare Debian root file system of an image into the cache; as root
	@$(BIN)/python provisioning/build-image --root-only

lint: setup  ## Check style (ruff check, ruff format) and types (mypy --strict)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "lint: run $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy

lock: setup  ## Resolve pyproject.toml into provisioning/lock, keeping versions where they still fit
	@$(BIN)/python $(LOCK)/update.py

lock-upgrade: setup  ## The same, taking the newest versions
	@$(BIN)/python $(LOCK)/update.py --upgrade

peers: setup  ## Measure Moonshine, Whisper and PocketSphinx beside this recogniser: SPEECH='DIR …'
	@$(BIN)/python tests/benchmarks/peers.py $(SPEECH)

clean:  ## Remove the environment and what was built
	rm -rf $(VENV) models/build .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

setup: $(VENV)/project.stamp

$(VENV)/system.stamp: provisioning/system-packages.sh
	@command -v $(PYTHON) >/dev/null || { echo "setup: no $(PYTHON); install Python 3.11 or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	    { echo "setup: $(PYTHON) is not Python 3.11; name one that is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@set -- $(SYSTEM_PACKAGES); \
	    $(PYTHON) -c 'import ensurepip' 2>/dev/null || set -- "$$@" python3.11-venv; \
	    $(PYTHON) -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || set -- "$$@" python3.11-dev; \
	    [ $$# = 0 ] || ./provisioning/system-packages.sh "$$@"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# setuptools and wheel come first: PyAudio is built with them, and they with nothing.
$(VENV)/locked.stamp: $(LOCK)/dev.txt $(VENV)/system.stamp
	@echo "setup: installing $$(grep -c == $<) locked packages into $(VENV)"
	@awk '/^[^ ]/ { take = /^(setuptools|wheel)==/ } take' $< > $(VENV)/build.txt
	@$(INSTALL) --require-hashes -r $(VENV)/build.txt
	@$(INSTALL) --require-hashes --no-compile -r $<
	@touch $@

$(VENV)/project.stamp: pyproject.toml $(wildcard device/csrc/*) $(VENV)/locked.stamp
	@$(INSTALL) --editable .
	@touch $@
