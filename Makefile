# Everything runs in .venv from locked versions. provisioning/environment.py sets it up for each purpose and records what
# is done, so a second make starts at once. SYSTEM_PACKAGES= leaves the packages of the system alone.

BIN      := .venv/bin
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON   ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
                $$p -c '$(SUITABLE)' 2>/dev/null && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help demo bundle test test-image rootfs lint lock lock-upgrade baselines browser clean setup-run setup-convert setup-dev setup-image

help:  ## Say what each target does
	@echo "coral-dictation: offline dictation on a Raspberry Pi 4 and a Coral USB Accelerator"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: setup-run  ## Transcribe recorded speech; show text, word error rate and speed
	@$(BIN)/python tests/system/demo.py

bundle: setup-convert  ## Convert the acoustic models; compile them together where there is a compiler
	@$(BIN)/python convert/build.py

test: lint  ## Run the whole suite; one part: make test TESTS='tests/device -k panel'
	@$(BIN)/python -m pytest $(TESTS)

test-image: setup-image  ## Build a card's image, boot it in a virtual Pi and live its life; as root, see docs/virtual-pi.md
	@[ -d models/build/base ] && [ -d models/build/moonshine-tiny ] || $(BIN)/python convert/build.py
	@$(BIN)/python -m pytest -m image -s $(TESTS)

rootfs: setup-image  ## Build the bare Debian root file system of an image into the cache; as root
	@$(BIN)/python provisioning/build-image --root-only

lint: setup-dev  ## Check style (ruff check, ruff format) and types (mypy --strict)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "lint: run $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy

lock: setup-dev  ## Resolve pyproject.toml into provisioning/lock, keeping versions where they still fit
	@$(BIN)/python provisioning/lock/update.py

lock-upgrade: setup-dev  ## The same, taking the newest versions
	@$(BIN)/python provisioning/lock/update.py --upgrade

baselines: setup-dev  ## Measure Moonshine, Whisper and PocketSphinx beside this recogniser: SPEECH='DIR …'
	@$(BIN)/python tests/benchmarks/baselines.py $(SPEECH)

CERTIFICATES := $(wildcard /etc/ssl/certs/ca-certificates.crt)

browser:  ## Fetch ONNX Runtime Web by npm, for dictate browser and the benchmark's row of WebGPU
	@command -v npm >/dev/null || { echo "browser: npm is needed; sudo apt install npm" >&2; exit 1; }
	@mkdir -p .cache/browser && cp device/browser/npm/*.json .cache/browser/
	@npm ci --prefix .cache/browser --ignore-scripts --no-audit --no-fund --loglevel=error $(if $(CERTIFICATES),--cafile=$(CERTIFICATES))

clean:  ## Remove the environment and what was built
	rm -rf .venv models/build .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

setup-run setup-convert setup-dev setup-image: setup-%:
	@python="$(PYTHON)"; [ -n "$$python" ] && $$python -c '$(SUITABLE)' 2>/dev/null || { \
	    echo "setup: Linux with Python 3.11, 3.12 or 3.13 is needed$${python:+ ($$python is not)}; install one or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 1; }; \
	$$python provisioning/environment.py $*
