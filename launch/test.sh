#!/usr/bin/env bash
# Creates the environment .venv, runs the linter, then the tests. Arguments are passed to pytest:
#   launch/test.sh                 all tests except the long ones
#   launch/test.sh --long          also the long ones, which repeat other tests in another way
#   launch/test.sh -k langevin     tests whose name contains "langevin"
#   launch/test.sh -n0             one test after the other, in one process
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install tests.installed requirements.txt pyproject.toml -- --editable '.[test]'

# PyTorch (the authors' checkpoints), and the libraries that tests and benchmarks compare with:
# torchmetrics and JAX. Without these packages their tests are skipped.
install torch.installed pyproject.toml -- --editable '.[torch,peers]' ||
  echo "PyTorch could not be installed: its tests are skipped"

# debian FILE PACKAGE...
# Installs Debian packages unless FILE exists; does nothing without apt-get or without root's rights.
debian() {
  local file="$1"
  shift
  if [ -e "$file" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then return; fi
  apt-get install --yes --quiet=2 "$@" > /dev/null 2>&1 ||
    { apt-get update --quiet=2 && apt-get install --yes --quiet=2 "$@"; } > /dev/null 2>&1 ||
    echo "Debian's $* could not be installed: tests are skipped"
}

# Fashion-MNIST for tests of the data, and a browser for tests of the evaluation report.
debian /usr/share/datasets/fashion-mnist dataset-fashion-mnist
debian /usr/bin/chromedriver chromium chromium-driver

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/pyright --pythonpath .venv/bin/python
# Two test files run at the same time, since tracing graphs, which takes long, uses one thread only.
.venv/bin/python -m pytest --numprocesses=2 --dist=loadfile "$@"
