# Everything a person or the CI runs. A fresh machine needs Python >= 3.11 and make; the rest lands in .venv.
#
#   make demo     install, invert and edit four held-out images, write one contact sheet
#   make web      install, open the app in a browser
#   make test     install what is missing, run the tests
#   make check    format, lint, types, layers
#
# PYTHON chooses the interpreter:            make demo PYTHON=python3.12
# PIP_ARGS reaches every pip install; torch without CUDA on Linux (a tenth of the download):
#                                            make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON   ?= python3
PIP_ARGS ?=
ARGS     ?=
WORKERS  ?= 2
COVER    := $(if $(ARGS),,--cov --cov-report=)
ALONE    := tests/e2e
VENV     := .venv
BIN      := $(VENV)/bin
RECIPE   := pyproject.toml constraints.txt

.PHONY: help venv install install-dev browser nginx demo web test test-slow check format docs site site-test build sbom matrix wheel-test clean
.DEFAULT_GOAL := help

help: ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(BIN)/python ## create .venv

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "nulltext needs Python 3.11 or newer; $(PYTHON) is not. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

install: $(VENV)/.installed ## install the package and what it needs to run

$(VENV)/.installed: $(BIN)/python $(RECIPE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --constraint constraints.txt --editable .
	@touch $@

install-dev: $(VENV)/.installed-dev ## install what the tests and the checks need as well

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --constraint constraints.txt --editable ".[dev]"
	@touch $@

browser: ## install Chromium, for the tests of the page (Debian, as root)
	@for name in chromium-headless-shell chromium google-chrome; do command -v $$name && exit; done; \
	apt-get update -qq && apt-get install -y -qq chromium-headless-shell

nginx: ## install nginx, for the tests of the server behind a proxy (Debian, as root)
	@for name in nginx /usr/sbin/nginx; do command -v $$name && exit; done; \
	apt-get update -qq && apt-get install -y -qq nginx-light

demo: install ## invert and edit held-out images; writes nulltext-demo/contact-sheet.png
	$(BIN)/nulltext demo --force $(ARGS)

web: install ## open the app at http://127.0.0.1:7860
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --constraint constraints.txt --editable ".[web]"
	$(BIN)/nulltext web $(ARGS)

# The tests compute with tiny tensors, for which more threads only get in each other's way.
test test-slow: export OMP_NUM_THREADS ?= 1

test: install-dev ## run the tests (ARGS="-k inversion" for some of them)
	$(BIN)/python -m pytest -m "not slow and not alone" --numprocesses $(WORKERS) --dist worksteal $(COVER) $(ARGS)
	@# What takes the time must have the machine to itself. 5: none of them was asked for.
	$(BIN)/python -m pytest -m "alone and not slow" $(COVER) $(if $(COVER),--cov-append) $(if $(ARGS),$(ARGS),$(ALONE)) || [ $$? = 5 ]
	@# Of all tests or of none: what some of them leave out says nothing.
	$(if $(COVER),$(BIN)/python -m coverage report)

test-slow: install-dev ## run the slow tests as well: full-size architectures, the wheel in an empty environment
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

check: install-dev ## format, ruff, pyright, import layers, the site
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pyright --pythonpath $(BIN)/python --project tests
	$(BIN)/lint-imports --no-cache
	$(MAKE) site

format: install-dev ## rewrite the sources in the one format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install-dev ## make the images of docs/ again, by running what stands in its pages, then the site into site/
	$(BIN)/python docs/build.py $(ARGS)
	NULLTEXT_EXECUTE_NOTEBOOKS=1 $(MAKE) site

site: export NO_MKDOCS_2_WARNING = 1
site: install-dev ## build the site into site/; a warning fails it (NULLTEXT_EXECUTE_NOTEBOOKS=1 runs the notebooks as well)
	$(BIN)/mkdocs build --strict --quiet

site-test: install-dev ## look at the site in Chromium: three pages on a phone and a desktop, by axe-core as well
	$(BIN)/python -m pytest -m "slow or not slow" tests/e2e/test_site.py

build: install-dev ## build the wheel and the source archive into dist/
	$(BIN)/python -m build

sbom: install ## list what is installed with the package as CycloneDX JSON, dist/nulltext.cdx.json
	@mkdir -p dist
	$(BIN)/python -m venv $(VENV)/sbom
	$(VENV)/sbom/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom
	$(VENV)/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible --output-file dist/nulltext.cdx.json $(BIN)/python

matrix: install-dev ## run the tests under the oldest and the newest versions that pyproject.toml allows (ARGS="--list" says which)
	$(BIN)/python tools/matrix.py $(ARGS)

wheel-test: install-dev ## build the wheel, install it into an empty environment, run the demo there with no network
	$(BIN)/python -m pytest -m "slow or not slow" tests/e2e/test_wheel.py

clean: ## remove what make made, but not the environment
	rm -rf dist build site nulltext-demo .pytest_cache .ruff_cache .import_linter_cache
