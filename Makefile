.DEFAULT_GOAL := help
.PHONY: help demo test lint docs matrix coverage bench mutants extract_translations compile_translations

PYTHON ?= python3.11
# Pythons of pyenv count too, behind all else on the PATH: its shims answer only for the version that is switched on.
export PATH := $(shell printf %s "$$PATH"; printf ':%s' $(HOME)/.pyenv/versions/3.1*/bin)

help:  ## List the targets.
	@sed -n 's/^\([a-z_]*\):.*##/\1\t/p' $(MAKEFILE_LIST)

demo: .venv/lms  ## Start the stand-in LMS, provision a client and use it with curl.
	.venv/bin/python sandbox/demo.py

test: .venv/lms  ## Lint, then the tests on SQLite, MariaDB and PostgreSQL, on the oldest and the newest versions.
	PYTHON=$(PYTHON) requirements/system.sh test
	.venv/bin/tox run -e lint
	.venv/bin/tox run-parallel --parallel 3 --parallel-no-spinner -m test

lint: .venv/tools  ## Lint, check formatting, types, layers and migrations, and ask PyPI for known weaknesses.
	.venv/bin/tox run -e lint,audit

docs: .venv/tools  ## Make the documentation in build/docs, and run every command in it.
	PYTHON=$(PYTHON) requirements/system.sh docs
	.venv/bin/tox run -e docs

matrix: .venv/lms  ## The tests on every supported combination of versions, and on the newest of all.
	PYTHON=$(PYTHON) requirements/system.sh test
	.venv/bin/tox run -m matrix

coverage: .venv/lms  ## Whether the tests reach every branch, on what together covers all versions and databases.
	PYTHON=$(PYTHON) requirements/system.sh test
	rm -rf build/coverage
	.venv/bin/tox run-parallel --parallel 2 --parallel-no-spinner -m coverage

bench: .venv/databases  ## Count the queries, time the command, and time all of them beside a million tokens.
	.venv/bin/python benchmarks/bench.py
	.venv/bin/python benchmarks/many.py
	DATABASE_URL=$${TEST_MYSQL_URL:-mysql://root@127.0.0.1:3306/edx_api_provisioning} .venv/bin/python benchmarks/many.py
	DATABASE_URL=$${TEST_POSTGRES_URL:-postgres://postgres@127.0.0.1:5432/edx_api_provisioning} .venv/bin/python benchmarks/many.py
	DATABASE_URL=$${TEST_MYSQL_URL:-mysql://root@127.0.0.1:3306/edx_api_provisioning} .venv/bin/python benchmarks/lifecycle.py
	DATABASE_URL=$${TEST_POSTGRES_URL:-postgres://postgres@127.0.0.1:5432/edx_api_provisioning} .venv/bin/python benchmarks/lifecycle.py

mutants: .venv/mutants  ## Break the code in thousands of small ways, and count what the tests do not see.
	rm -rf mutants
	nice .venv/bin/mutmut run
	.venv/bin/mutmut results --all true | sed -n 's/^ *edx_api_provisioning\.\(.*\)\.x.*: /\1 /p' | sort | uniq -c

extract_translations: .venv/lms  ## Bring the texts of the code into the catalogs (OEP-58).
	PYTHON=$(PYTHON) requirements/system.sh translations
	cd edx_api_provisioning && ../.venv/bin/django-admin makemessages --locale en --locale ru --add-location file --no-wrap --no-obsolete

compile_translations: .venv/lms  ## Compile the catalogs that are complete.
	PYTHON=$(PYTHON) requirements/system.sh translations
	cd edx_api_provisioning && ../.venv/bin/django-admin compilemessages --locale ru

.venv/tools: requirements/tools.txt requirements/system.sh
	PYTHON=$(PYTHON) requirements/system.sh demo
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement requirements/tools.txt
	touch $@

.venv/lms: .venv/tools requirements/lms.txt requirements/sandbox.txt setup.py
	.venv/bin/uv pip install --quiet --python .venv --constraints requirements/lms.txt --requirements requirements/sandbox.txt --editable '.[django]'
	touch $@

.venv/databases: .venv/lms requirements/databases.txt
	PYTHON=$(PYTHON) requirements/system.sh test
	.venv/bin/uv pip install --quiet --python .venv --constraints requirements/lms.txt --requirements requirements/databases.txt
	touch $@

.venv/mutants: .venv/databases requirements/mutants.txt
	.venv/bin/uv pip install --quiet --python .venv --constraints requirements/lms.txt --requirements requirements/mutants.txt
	touch $@
