# demo: the main job on tiles it makes itself, then maps of a scene, and how good they are.  test: the whole suite.
# check: the tests that are quick.  image: what SageMaker starts, in both variants.  lint, docs, bench, gpu: what their names say.
VENV := .venv
PYTHON := $(VENV)/bin/python
# Rebuilt whenever the project's dependencies change.
READY := $(VENV)/ready-$(shell sha256sum pyproject.toml | cut -c1-16)

# The tests start dozens of commands and jobs: what these import is compiled once, not by each.
unexport PYTHONDONTWRITEBYTECODE

PARALLEL := --dist loadscope --no-loadscope-reorder --numprocesses
CORES := $(shell echo $$(( $$(nproc) < 4 ? $$(nproc) : 4 )))

.PHONY: demo test check image lint docs bench gpu
demo: $(READY)
	$(PYTHON) -m snowcover.train
	for by in network forest brightness; do \
	  $(PYTHON) -m snowcover.predict model=latest with=$$by scenes=demo out=demo_maps/$$by overwrite=true || exit; done
	$(PYTHON) -m snowcover.evaluate \
	  maps="{network: demo_maps/network/*/*_probability.tif, forest: demo_maps/forest/*/*_probability.tif, \
	  brightness: demo_maps/brightness/*/*_snow.tif}" \
	  reference=demo_scene/ASO_demo_20180604_snow_depth.tif canopy_height=demo_scene/canopy_height.tif \
	  elevation=demo_scene/elevation.tif block_m=500 out=demo_report overwrite=true

# One process more than there are cores, since these tests also wait: for commands, servers, containers.
test: $(READY) browser engine lint
	$(PYTHON) -m pytest $(PARALLEL) $$(( $(CORES) + 1 ))

check: $(READY) lint
	$(PYTHON) -m pytest $(PARALLEL) $(CORES) -m "not training and not process and not machine and not image and not browser and not slow"

image: $(READY)
	$(PYTHON) -m snowcover.image build

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --num-workers $(CORES)

docs: $(READY)
	$(VENV)/bin/mkdocs build --strict

bench: $(READY)
	for script in bench/bench_*.py; do echo "== $$script"; $(PYTHON) -m bench.$$(basename $$script .py); done

# Trains and maps on this machine's GPUs, and holds them against the CPU.
gpu: $(READY)
	$(PYTHON) -m bench.gpu

# With a pip newer than Python 3.11's own, which takes a quarter longer.
$(READY): pyproject.toml
	rm -rf $(VENV)
	python3 -m venv $(VENV) || { apt-get update -q && apt-get install -qy python3-venv && python3 -m venv $(VENV); }
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	touch $@

# The tests look at MLflow's pages with a real browser.
.PHONY: browser
browser:
	command -v chromium chromedriver >/dev/null || { apt-get update -q && apt-get install -qy chromium chromium-driver; }

# They build images and push them with a real Docker engine, and say so where none can run.
.PHONY: engine
engine:
	for program in docker dockerd debootstrap docker-registry; do \
	  command -v $$program >/dev/null || { \
	    apt-get update -q && apt-get install -qy docker.io debootstrap docker-registry || true; break; }; \
	done
