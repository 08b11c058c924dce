# Sets up .venv where it is absent; needs nothing but Python 3 and make.
PYTHON ?= python3
INSTALLED := .venv/installed

.PHONY: demo test

demo: $(INSTALLED)
	.venv/bin/surglavi demo --output demo

test: $(INSTALLED)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses 2 --dist loadfile

# The marker is written last, so that an installation that was interrupted is taken up again.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --constraint constraints.txt --editable '.[test]'
	touch $(INSTALLED)
