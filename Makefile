# Each target makes its own virtual environment; PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BIN := $(VENV)/bin
PICTURE ?= examples/astronaut.png
# Name of a published model, which is brought here first; empty: the package's own.
MODEL ?=
# A folder with the model's files, for machines without a network; empty: download them.
MODELS ?= $(wildcard ../shared/testdata/models)

# What `make bench` measures with: a quantized classifier and a JPEG.
BENCH_MODEL ?= $(wildcard ../shared/testdata/models/mobilenet_v2_1.0_224_quant.tflite)
BENCH_PICTURE ?= $(wildcard ../shared/testdata/images/parrot.jpg)

.PHONY: run test bench check clean

run: $(VENV)/installed
	$(if $(MODEL),$(BIN)/coral-classify models pull $(MODEL) $(if $(MODELS),--from $(MODELS)))
	$(BIN)/coral-classify $(PICTURE) $(if $(MODEL),--model $(MODEL))

test: $(VENV)/tested
	$(BIN)/python -m pytest -q

bench: $(VENV)/installed
	$(if $(BENCH_MODEL),,$(error name a model: make bench BENCH_MODEL=X.tflite BENCH_PICTURE=Y.jpg))
	$(BIN)/python benchmarks/compare.py $(BENCH_MODEL) $(BENCH_PICTURE) $(BENCH_WAYS)

check: $(VENV)/checked
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

$(VENV)/installed: $(VENV)/bin/python setup.py $(wildcard coral_classify/*.py coral_classify/cli/*.py models/* labels/*)
	$(BIN)/python -m pip install -q .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install -q '.[test]'
	touch $@

$(VENV)/checked: $(VENV)/tested
	$(BIN)/python -m pip install -q ruff mypy
	touch $@

clean:
	rm -rf .venv-* build *.egg-info
