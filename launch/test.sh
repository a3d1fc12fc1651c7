#!/usr/bin/env bash
# From a fresh clone to a verdict: environment, linter, types, the tests.
# Arguments go to pytest:  launch/test.sh -k langevin      (--long: also what takes long and tries
# again in another way; -n0: one after the other)
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install tests.installed requirements.txt pyproject.toml -- --editable '.[test]'

# PyTorch, for the tests that read the authors' checkpoints and those that compare with programs
# that need it; without it they are skipped.
install torch.installed pyproject.toml -- --editable '.[torch,peers]' ||
  echo "PyTorch could not be installed: its tests are skipped"

# debian FILE PACKAGE...: installs packages that bring a file, where this is Debian and we may.
debian() {
  local file="$1"
  shift
  if [ -e "$file" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then return; fi
  apt-get install --yes --quiet=2 "$@" > /dev/null 2>&1 ||
    { apt-get update --quiet=2 && apt-get install --yes --quiet=2 "$@"; } > /dev/null 2>&1 ||
    echo "Debian's $* could not be installed: tests are skipped"
}

# Real Fashion-MNIST for the data tests, and a browser that opens the report.
debian /usr/share/datasets/fashion-mnist dataset-fashion-mnist
debian /usr/bin/chromedriver chromium chromium-driver

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/pyright --pythonpath .venv/bin/python --warnings
# Two files at a time: much of a test's time is one thread that traces graphs.
.venv/bin/python -m pytest --numprocesses=2 --dist=loadfile "$@"
