# Everything a newcomer needs: `make detect`, `make web`, `make docs` and `make test`. All make a virtual environment in .venv first.

PYTHON ?= python3
VENV   ?= .venv
# PyTorch, for training and its tests. The default is what CI uses; on a machine with a GPU take the build you want.
TORCH  ?= torch==2.13.0
# Processes that share the tests.
JOBS   ?= 2
# Left empty, the photograph that ships with matplotlib.
PHOTO  ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: detect web test lint format smoke-opencv5 docs package clean

detect: $(VENV)/runtime.stamp  ## find the faces of PHOTO (or of matplotlib's sample) and draw them into out/
	$(BIN)/tinier-yolo detect "$(or $(PHOTO),$(shell $(BIN)/python -c 'import matplotlib as m; print(m.get_data_path() + "/sample_data/grace_hopper.jpg")' 2>/dev/null))" --out out

web: $(VENV)/runtime.stamp  ## the detector as a page in the browser: pictures, the camera; Ctrl-C ends it
	$(BIN)/tinier-yolo serve --port 0 --open

test: $(VENV)/dev.stamp  ## the whole test suite
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

lint: $(VENV)/dev.stamp  ## what CI checks beside the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# OpenCV 5 has neither the Darknet importer nor the Haar cascades, so the suite runs on 4.14; this part must run on 5 too.
smoke-opencv5: .venv-opencv5/opencv5.stamp  ## detection, pictures and videos on OpenCV 5
	.venv-opencv5/bin/python -m pytest tests/detection tests/media tests/cli/test_detect.py tests/runtime/test_float_engine.py

docs: .venv-docs/docs.stamp  ## the site, into out/site: the notebook executed, links and anchors checked
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

package:  ## the wheel, from the source distribution, used in an empty folder
	scripts/check_package.sh $(PYTHON)

.venv-docs/docs.stamp: pyproject.toml requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip --disable-pip-version-check install --quiet --editable ".[docs]"
	touch $@

clean:  ## remove what the targets above have made
	rm -rf .venv .venv-opencv5 .venv-docs out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.stamp: pyproject.toml requirements.txt | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/dev.stamp: pyproject.toml requirements.txt | $(BIN)/python
	$(PIP) "$(TORCH)"
	$(PIP) --editable ".[train,dev]"
	touch $@ $(VENV)/runtime.stamp

.venv-opencv5/opencv5.stamp: Makefile pyproject.toml requirements.txt
	$(PYTHON) -m venv .venv-opencv5
	.venv-opencv5/bin/python -m pip --disable-pip-version-check install --quiet --editable ".[video]" "opencv-python>=5" onnxruntime pytest pytest-timeout hypothesis
	touch $@
