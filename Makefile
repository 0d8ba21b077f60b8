# make demo and make test install what they need into .venv; nothing else is asked of a machine with Python 3.11, make, git and g++.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   := runs/silicon-demo
DFT_DEMO := runs/silicon-dft
CP2K_DEMO := runs/silicon-cp2k
SEED   ?= 1

# one thread per process: two OpenMP threads on busy cores are several times slower than one
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

# the newest Python that the constraints were tried with, where there is one beside PYTHON
NEWEST ?= $(shell for v in 3.13 3.12; do for p in python$$v $(HOME)/.pyenv/versions/$$v.*/bin/python$$v; do $$p -c "" && echo $$p; done; done 2> /dev/null | head -1)
NEWER  ?= $(shell for v in 3.12 3.13; do for p in python$$v $(HOME)/.pyenv/versions/$$v.*/bin/python$$v; do $$p -c "" && echo $$p && break; done; done 2> /dev/null)
FASTEST := entropy fingerprints/test_gom.py select/test_logdet.py schemas/test_campaign_file.py test_batch.py test_geometry.py test_neighbors.py test_yaml_text.py
CORE   := entropy fingerprints select refine explore schemas formats flows store

.PHONY: install demo gpaw dft-demo cp2k cp2k-demo evidence test test-newest test-newer test-python test-newcomer test-torchsim test-slow slurm test-slurm test-remote browser test-browser chaos test-models lint docs bench bench-scale gpu-check peers style clean

install: $(VENV)/.installed

# torch first and pinned: left to a resolver it becomes a build with gigabytes of CUDA
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'entropy_flows needs Python 3.11 or newer')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[embedded,teacher,physics,umap,snap,export,students,selectors,web,dev]"
	touch $@

demo: install
	$(BIN)/entropy-flows check examples/silicon_demo.yaml
	$(BIN)/entropy-flows run examples/silicon_demo.yaml --folder $(DEMO)
	$(BIN)/entropy-flows report examples/silicon_demo.yaml --folder $(DEMO)

# GPAW, compiled here as C++ with Debian's packages of what it needs, if they are missing; without MPI: a label is one process
gpaw: install
	@for file in xc.h cblas.h; do echo "#include <$$file>" | g++ -E -x c++ - > /dev/null 2>&1 || missing="$$missing $$file"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "missing:$$missing; as root: apt-get install libxc-dev libopenblas-dev"; exit 1; fi; \
	apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libxc-dev libopenblas-dev
	printf 'mpi = False\n' > $(VENV)/gpaw_config.py
	CC=g++ GPAW_CONFIG=$(abspath $(VENV))/gpaw_config.py $(BIN)/pip install --quiet --constraint constraints.txt --editable ".[embedded,gpaw]"

# real DFT labels: an hour or two on two cores; killed and run again it goes on where it was
dft-demo: gpaw
	$(BIN)/entropy-flows check examples/silicon_dft.yaml
	$(BIN)/entropy-flows run examples/silicon_dft.yaml --folder $(DFT_DEMO)
	$(BIN)/entropy-flows report examples/silicon_dft.yaml --folder $(DFT_DEMO)

# Debian's packages of CP2K with its basis sets and potentials, and of Quantum ESPRESSO, if they are missing
cp2k: install
	@for program in cp2k.psmp pw.x; do command -v $$program > /dev/null || missing="$$missing $$program"; done; \
	test -d "$${CP2K_DATA_DIR:-/usr/share/cp2k}" || missing="$$missing cp2k-data"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "missing:$$missing; as root: apt-get install cp2k cp2k-data quantum-espresso quantum-espresso-data"; exit 1; fi; \
	apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends cp2k cp2k-data quantum-espresso quantum-espresso-data

# real DFT labels by CP2K, through atomate2's Maker and custodian: half an hour on two cores; killed and run again it goes on
cp2k-demo: cp2k
	$(BIN)/entropy-flows check examples/silicon_cp2k.yaml
	$(BIN)/entropy-flows run examples/silicon_cp2k.yaml --folder $(CP2K_DEMO)
	$(BIN)/entropy-flows report examples/silicon_cp2k.yaml --folder $(CP2K_DEMO)

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not slurm and not browser and not remote"

# the core under that Python: its torch may be a build with CUDA, 3 GB, which needs no GPU
test-newest:
	test -n "$(NEWEST)" || { echo "neither Python 3.13 nor 3.12 is here"; exit 1; }
	$(MAKE) install PYTHON=$(NEWEST) VENV=.venv-newest
	.venv-newest/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not slurm and not browser and not remote" $(CORE:%=tests/%)

# the same in a minute or two for every newer Python that is here: import, the command line, and the core's fastest tests
test-newer:
	@free=$$(df --output=avail -BG . | tail -1 | tr -dc 0-9); \
	if [ -z "$(NEWER)" ]; then echo "neither Python 3.12 nor 3.13 is here: not tested with them"; exit 0; fi; \
	if [ "$$free" -lt 14 ]; then echo "$$free GB free, 14 needed for torch with CUDA: not tested with $(NEWER)"; exit 0; fi; \
	for python in $(NEWER); do $(MAKE) test-python PYTHON=$$python VENV=.venv-$$(basename $$python) || exit 1; done

# uv installs several times faster than pip
test-python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[embedded,teacher,dev]"
	$(BIN)/python -c "import sys, entropy_flows.flows, entropy_flows.launch.worker; print('Python', sys.version.split()[0])"
	$(BIN)/entropy-flows check examples/silicon_demo.yaml > /dev/null
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(FASTEST:%=tests/%)

# into an environment that has atomate2, with its versions and none of our constraints: nothing of it changes, and the demo runs.
# TORCH=torch==2.13.0 chooses a build beforehand
test-newcomer:
	$(PYTHON) -m venv .venv-newcomer
	.venv-newcomer/bin/pip install --quiet atomate2
	.venv-newcomer/bin/pip freeze > .venv-newcomer/before.txt
	.venv-newcomer/bin/pip install --quiet $(TORCH) ".[embedded,teacher]"
	.venv-newcomer/bin/pip freeze > .venv-newcomer/after.txt
	! grep -vxFf .venv-newcomer/after.txt .venv-newcomer/before.txt
	.venv-newcomer/bin/pip check
	.venv-newcomer/bin/entropy-flows --help > /dev/null
	.venv-newcomer/bin/entropy-flows init runs/newcomer --template demo
	time .venv-newcomer/bin/entropy-flows run runs/newcomer/campaign.yaml

# the biases in torch-sim and NVIDIA's ALCHEMI toolkit, which need Python 3.12 and 1.5 GB beside torch
test-torchsim:
	test -n "$(NEWEST)" || { echo "neither Python 3.13 nor 3.12 is here"; exit 1; }
	$(MAKE) install PYTHON=$(NEWEST) VENV=.venv-torchsim
	.venv-torchsim/bin/pip install --quiet torch-sim-atomistic "nvalchemi-toolkit[ase]>=0.3"
	.venv-torchsim/bin/python -m pytest -n0 tests/biases tests/docs/test_biases_page.py tests/potentials/test_torchsim.py tests/label/test_torchsim_maker.py
	.venv-torchsim/bin/python -m pytest -n0 tests/card/test_card.py -k torchsim

test-slow: install
	$(BIN)/python -m pytest -m slow

# Debian's packages of SLURM and munge, if they are missing
slurm:
	@PATH="$$PATH:/usr/sbin:/sbin"; \
	for program in munged slurmctld slurmd sbatch; do command -v $$program > /dev/null || missing="$$missing $$program"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "missing:$$missing; as root: apt-get install slurm-wlm munge"; exit 1; fi; \
	apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends slurm-wlm munge

# on a SLURM of its own on loopback, ended with the tests
test-slurm: install slurm
	$(BIN)/python -m pytest -m slurm -s tests/slurm

# chromium, for tests of the pages in a real browser
browser:
	@command -v chromium > /dev/null || { \
	if [ "$$(id -u)" != 0 ]; then echo "missing: chromium; as root: apt-get install chromium"; exit 1; fi; \
	apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium; }

test-browser: install browser
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[browser]"
	$(BIN)/python -m pytest -m browser tests/web

# jobflow-remote pins pymongo below 4.11: an environment of its own, with all other versions as they are
REMOTE := .venv-remote
$(REMOTE)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(REMOTE)
	$(REMOTE)/bin/pip install --quiet --upgrade pip
	grep -v '^pymongo==' constraints.txt > $(REMOTE)/constraints.txt
	$(REMOTE)/bin/pip install --quiet --constraint $(REMOTE)/constraints.txt torch
	$(REMOTE)/bin/pip install --quiet --constraint $(REMOTE)/constraints.txt --editable ".[embedded,teacher,physics,dev,remote]"
	touch $@

# a real runner, local workers and workers of a SLURM of its own
test-remote: $(REMOTE)/.installed slurm
	$(REMOTE)/bin/python -m pytest -m remote -n0 tests/remote

# the same, as root (it mounts a small disk), with dozens of faults; another seed, other times and victims: make chaos SEED=2
chaos: install slurm
	$(BIN)/python tests/chaos/chaos.py --seed $(SEED)

# models whose packages cannot be installed here, each in an environment of its own: 5 GB
test-models: install
	for name in mace chgnet matgl metatrain; do \
	  ENTROPY_FLOWS_ENVIRONMENTS=build/environments $(BIN)/entropy-flows environment create $$name || exit 1; \
	done
	$(BIN)/python -m pytest -m models tests/models

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=evidence $(BIN)/mypy evidence/*.py
	$(BIN)/python tools/style.py --check
	$(BIN)/python tools/sentences.py --check

# how readable the package is, in counts
style: install
	$(BIN)/python tools/style.py

docs: install
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site

# the paper's experiment on its three systems, with a teacher for DFT: hours; killed and run again it goes on
evidence: install
	$(BIN)/python evidence/make.py

bench: install peers
	$(BIN)/python -m benchmarks

bench-scale: install
	$(BIN)/python -m benchmarks.scale

# what the tests check without a GPU, on one: five minutes, and a page in docs/. DEVICE=cpu does the same on the CPU
DEVICE ?= cuda
gpu-check:
	@test -x $(BIN)/python || $(MAKE) install
	$(BIN)/python -m benchmarks.gpu_check --device $(DEVICE)

# libfp, in an environment of its own; where it cannot be built this says why and the benchmark does without
peers:
	$(PYTHON) benchmarks/peers/build.py

clean:
	rm -rf $(VENV) runs build *.egg-info
