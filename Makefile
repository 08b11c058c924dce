# Sets up .venv where it is absent; needs nothing but Python 3 and make.
PYTHON ?= python3
INSTALLED := .venv/installed
# Where the loading script is tried, with datasets 3.6.
INSTALLED_DATASETS_3 := .venv-datasets-3/installed

.PHONY: demo test

demo: $(INSTALLED)
	.venv/bin/surglavi demo --output demo

test: $(INSTALLED) $(INSTALLED_DATASETS_3)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses 2 --dist loadfile

# The marker is written last, so that an installation that was interrupted is taken up again.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --constraint constraints.txt --editable '.[test]'
	touch $(INSTALLED)

$(INSTALLED_DATASETS_3): pyproject.toml loading_script/requirements.txt
	$(PYTHON) -m venv .venv-datasets-3
	.venv-datasets-3/bin/python -m pip install --requirement loading_script/requirements.txt
	.venv-datasets-3/bin/python -m pip install --no-deps --editable .
	touch $(INSTALLED_DATASETS_3)
