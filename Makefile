# The ways in. Each one sets itself up from nothing (deploy/setup) and is quick the second time.
# ARGS is handed on:  make run ARGS="--seconds 30"    make test ARGS="tests/unit -x"

.DEFAULT_GOAL := help
.PHONY: help run test check fix bench soak lock clean

bin := .venv/bin

help:       ## list these
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run:        ## see it work: the real daemon beside a sandbox mail server (Ctrl-C ends it)
	@deploy/setup run
	@$(bin)/syncd demo $(ARGS)

# Two at a time: the tests mostly wait for fsync and for servers.
test:       ## all tests, against real Dovecot and Postfix where they can be had
	@deploy/setup test
	@$(bin)/python -m tests.servers.debian
	$(bin)/pytest -q -n 2 --dist worksteal -m "not soak" $(ARGS)

check:      ## style, types, the direction of imports, dependencies; then smells, which fail nothing
	@deploy/setup check
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports --no-logo
	$(bin)/deptry .
	@$(bin)/python -m tests.house.smells

fix:        ## what ruff can mend by itself
	@deploy/setup check
	-$(bin)/ruff check --fix .
	$(bin)/ruff format .

bench:      ## compare with mpop, fetchmail, getmail6, mbsync on one Dovecot
	@deploy/setup test
	@$(bin)/python -m tests.servers.debian --bench
	$(bin)/python -m tests.bench $(ARGS)

soak:       ## twenty minutes of mail with a kill every seven seconds, then the books must balance
	@deploy/setup run
	$(bin)/syncd demo --seconds 1200 --kill-every 7 $(ARGS)

# check.txt is the widest set; the others take their versions from it. Nothing is upgraded unless UPGRADE=--upgrade.
# Resolved for the oldest Python we run on; the same sets fit 3.12 and 3.13, and hold every wheel's hash.
compile := $(bin)/uv pip compile --quiet $(UPGRADE) --python-platform linux --python-version 3.11 \
	--generate-hashes --no-header --no-annotate
lock:       ## write deploy/lock/ anew after a change of dependencies in pyproject.toml
	@deploy/setup lock
	$(compile) pyproject.toml --extra uvloop --group test --group lint -o deploy/lock/check.txt
	$(compile) pyproject.toml --extra uvloop --group test -c deploy/lock/check.txt -o deploy/lock/test.txt
	$(compile) pyproject.toml -c deploy/lock/check.txt -o deploy/lock/runtime.txt
	$(compile) --group build -c deploy/lock/check.txt -o deploy/lock/build.txt
	$(compile) --group lock -o deploy/lock/lock.txt

clean:      ## remove what was built and installed here
	rm -rf .venv .cache .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
