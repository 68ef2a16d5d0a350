.DEFAULT_GOAL := help
.PHONY: help demo test newest lint docs matrix latest release bare coverage bench mutants upgrade extract_translations compile_translations
.NOTPARALLEL:

# Pythons of pyenv count too, behind all else on the PATH: its shims answer only for the version that is switched on.
export PATH := $(shell printf %s "$$PATH"; printf ':%s' $(HOME)/.pyenv/versions/3.1*/bin)
PYTHON ?= $(shell PATH="$(PATH)"; for python in python3.11 python3.12 python3.13; do \
	$$python -c "" 2>/dev/null && echo $$python && exit; done; echo python3)
export PYTHON

help:  ## List the targets.
	@sed -n 's/^\([a-z_]*\):.*##/\1\t/p' $(MAKEFILE_LIST)

demo: .venv/lms  ## Start the stand-in LMS, provision a client and use it with curl.
	.venv/bin/python sandbox/demo.py

test: system-test .venv/lms  ## Lint, docs, and the tests: all on the LMS's pins, those of a server and of versions there too.
	.venv/bin/python -m tests.jobs test

newest: system-test .venv/lms  ## What a release needs beside `test`: the other tests on the newest versions, and every Tutor.
	.venv/bin/python -m tests.jobs newest

lint: .venv/pins.txt  ## Lint, check formatting, types, layers and migrations, and ask PyPI for known weaknesses.
	.venv/bin/tox run -e lint,audit

docs: system-docs .venv/pins.txt  ## Make the documentation in build/docs, and run every command in it.
	.venv/bin/tox run -e docs

matrix: system-test .venv/lms  ## All tests with all their examples, on every combination of versions and every database.
	TEST_FULL=1 TEST_MARKS= .venv/bin/python -m tests.jobs matrix

latest: system-test .venv/lms  ## All tests on the newest versions that PyPI has, supported or not.
	.venv/bin/tox run -e latest

release: .venv/tools  ## Build the distributions in dist/ and check them; publishing is up to the release workflow.
	grep -q "^$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' edx_api_provisioning/__init__.py) - " CHANGELOG.rst || \
		{ echo "CHANGELOG.rst has no heading 'VERSION - DATE' for this version." >&2; exit 1; }
	rm -rf dist
	.venv/bin/uv build --quiet --out-dir dist
	.venv/bin/uvx --quiet twine==7.0.0 check --strict dist/*

upgrade: .venv/tools  ## Pin the newest versions of the tools: requirements/*.in become *.txt. See `make latest` for the rest.
	@for name in tools lint docs; do \
		{ sed -n 1p requirements/$$name.in; echo "# Compiled from $$name.in by: make upgrade"; \
		.venv/bin/uv pip compile --quiet --upgrade --universal --fork-strategy fewest --python-version 3.11 --no-header --no-annotate \
			$$(sed -n 's/^\([A-Za-z][A-Za-z-]*\)==.*/--no-emit-package=\1/p' requirements/lms.txt requirements/ulmo.txt requirements/verawood.txt requirements/newest.txt | sort -u) \
			requirements/$$name.in; } >requirements/$$name.new && mv requirements/$$name.new requirements/$$name.txt || exit 1; \
	done

bare:  ## Follow the README on a bare Debian 12 and 13, as root and as a user with sudo. Needs root and debootstrap.
	tests/bare.sh bookworm
	tests/bare.sh trixie

coverage: system-test .venv/lms  ## Whether the tests reach every branch, on what together covers all versions and databases.
	rm -rf build/coverage
	.venv/bin/python -m tests.jobs coverage

bench: system-test .venv/databases  ## Count the queries, time the command, and time all of them beside a million tokens.
	.venv/bin/python benchmarks/bench.py
	.venv/bin/python benchmarks/many.py
	.venv/bin/python -m tests.servers sh -ec 'for url in $$TEST_MYSQL_URL $$TEST_POSTGRES_URL; do for bench in many lifecycle; do \
		DATABASE_URL=$$url .venv/bin/python benchmarks/$$bench.py; done; done'

mutants: system-test .venv/mutants  ## Break the code in thousands of small ways, and count what the tests do not see.
	rm -rf mutants
	nice .venv/bin/mutmut run
	@# Those that live are tried by tests of other folders too.
	rm mutants/mutmut-stats.json
	TEST_MUTANTS=every nice .venv/bin/mutmut run \
		$$(.venv/bin/mutmut results --all true | sed -n 's/^ *\(.*\): \(survived\|no tests\)$$/\1/p')
	.venv/bin/mutmut results --all true | sed -n 's/^ *edx_api_provisioning\.\(.*\)\.x.*: /\1 /p' | sort | uniq -c

extract_translations: system-translations .venv/lms  ## Bring the texts of the code into the catalogs (OEP-58).
	cd edx_api_provisioning && ../.venv/bin/django-admin makemessages --locale en --locale ru --add-location file --no-wrap --no-obsolete

compile_translations: system-translations .venv/lms  ## Compile the catalogs that are complete.
	cd edx_api_provisioning && ../.venv/bin/django-admin compilemessages --locale ru

system-%:
	@requirements/system.sh $*

# Another Python than last time: another environment.
ifneq ($(shell test -x .venv/bin/python && .venv/bin/python -VV),$(shell PATH="$(PATH)"; command -v $(PYTHON) >/dev/null && $(PYTHON) -VV))
.PHONY: .venv/tools
endif

.venv/tools: requirements/tools.txt
	requirements/system.sh demo
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --requirement requirements/tools.txt
	touch $@

# The versions that the LMS pins, where they install.
.venv/pins.txt: .venv/tools requirements/lms.txt requirements/newest.txt
	cp requirements/$$(.venv/bin/python -c 'import sys; print("lms" if sys.version_info < (3, 13) else "newest")').txt $@

.venv/lms: .venv/pins.txt requirements/sandbox.txt setup.py
	.venv/bin/uv pip install --quiet --python .venv --constraints .venv/pins.txt --requirements requirements/sandbox.txt --editable '.[django]'
	touch $@

.venv/databases: .venv/lms requirements/databases.txt
	.venv/bin/uv pip install --quiet --python .venv --constraints .venv/pins.txt --requirements requirements/databases.txt
	touch $@

.venv/mutants: .venv/databases requirements/mutants.txt
	.venv/bin/uv pip install --quiet --python .venv --constraints .venv/pins.txt --requirements requirements/mutants.txt
	touch $@
