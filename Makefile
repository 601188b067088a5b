# Each target makes its own virtual environment; PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BIN := $(VENV)/bin
PICTURE ?= examples/astronaut.png
# Name of a published model, which is brought here first; empty: the package's own.
MODEL ?=
# A folder with the model's files, for machines without a network; empty: download them.
MODELS ?= $(wildcard ../shared/testdata/models)

# What `make bench` measures with: a quantized classifier (a file, or a published name), a JPEG of some 512 x 929 (empty:
# an example, enlarged), and options of benchmarks/bench.py, as in: make bench BENCH_OPTIONS='--rounds 3'
BENCH_MODEL ?= mobilenet-v2
BENCH_PICTURE ?= $(wildcard ../shared/testdata/images/parrot.jpg)
BENCH_OPTIONS ?=

comma := ,

# Whatever is new in these is installed anew.
SOURCES := $(shell find coral_classify -name '*.py' -o -name '*.c' -o -name py.typed -o -path '*/page/*') \
  $(shell find models labels -maxdepth 1 -type f)

.PHONY: run test test-arm test-environment bench check docs package clean

run: $(VENV)/installed
	$(if $(MODEL),$(BIN)/coral-classify models pull $(MODEL) $(if $(MODELS),--from $(MODELS)))
	$(BIN)/coral-classify $(PICTURE) $(if $(MODEL),--model $(MODEL))

# HEAVY=1: with what takes long to install, too (a browser, a broker, Ray), and no test of these may skip.  Chromium and
# mosquitto come from the system's packages.
HEAVY ?=
TESTED := $(VENV)/tested$(if $(HEAVY),-heavy)

test: $(TESTED)
	$(if $(HEAVY),CORAL_CLASSIFY_HEAVY=1) $(BIN)/python -m pytest -q

test-environment: $(TESTED)

# The peers' environments (.venv-bench-*) are made by benchmarks/peers.py, with whatever Pythons are here.
bench: $(VENV)/installed
	$(if $(filter %.tflite,$(BENCH_MODEL)),,$(BIN)/coral-classify models pull $(BENCH_MODEL) $(if $(MODELS),--from $(MODELS)))
	$(BIN)/python benchmarks/bench.py --model $(BENCH_MODEL) $(if $(BENCH_PICTURE),--picture $(BENCH_PICTURE)) $(BENCH_OPTIONS)

# Both ARMs, emulated (qemu-user); tests/arm/run.sh says what it needs, and makes root file systems of Debian in ARM_ROOTS.
ARM_ROOTS ?= .arm
test-arm:
	tests/arm/run.sh arm64 $(ARM_ROOTS)/arm64
	tests/arm/run.sh armhf $(ARM_ROOTS)/armhf

check: $(VENV)/checked
	$(BIN)/ruff check .
	$(BIN)/mypy

# The site, in site/index.html; a link that leads nowhere is an error. It needs Python 3.10 or newer.
docs: $(VENV)/documented
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

# An sdist, and the wheel that is built from it, in dist/.
package: $(VENV)/packaged
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

# build/ would bring back modules that have been moved or removed since.
$(VENV)/installed: $(VENV)/bin/python setup.py $(SOURCES)
	rm -rf build *.egg-info
	$(BIN)/python -m pip install -q .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install -q '.[test,serve$(if $(filter .venv-3.11 .venv-3.13,$(VENV)),$(comma)camera)]'
	touch $@

$(VENV)/tested-heavy: $(VENV)/tested
	$(BIN)/python -m pip install -q '.[mqtt,ray,test-heavy]'
	touch $@

$(VENV)/checked: $(VENV)/tested
	$(BIN)/python -m pip install -q ruff mypy
	touch $@

$(VENV)/documented: $(VENV)/installed
	$(BIN)/python -m pip install -q '.[docs]'
	touch $@

$(VENV)/packaged: $(VENV)/bin/python
	$(BIN)/python -m pip install -q build twine
	touch $@

clean:
	rm -rf .venv-* .arm build dist site *.egg-info
