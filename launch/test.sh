#!/usr/bin/env bash
# Creates the environment .venv, runs the linter and the type checker, then the tests:
#   launch/test.sh                 the fast tests
#   launch/test.sh --all           the fast tests, and the slow ones in tests/slow
# With other arguments it runs pytest with them, without linter and type checker:
#   launch/test.sh tests/slow      the slow tests alone
#   launch/test.sh -k langevin     fast tests whose name contains "langevin"
#   launch/test.sh -n0             one test after the other, in one process
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install tests.installed requirements.txt pyproject.toml -- --no-build-isolation --editable '.[test]'

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

# Only slow tests need more: PyTorch (the authors' checkpoints), torchmetrics and JAX (what others
# compute), Jupyter's kernel (notebooks), a browser (the evaluation report) and Fashion-MNIST. Without
# them their tests are skipped.
case "$*" in
  *--all* | *tests/slow*)
    install slow.installed pyproject.toml -- --no-build-isolation --editable '.[slow]' ||
      echo "PyTorch, JAX or Jupyter could not be installed: their tests are skipped"
    debian /usr/share/datasets/fashion-mnist dataset-fashion-mnist
    debian /usr/bin/chromedriver chromium chromium-driver
    ;;
esac

if [ $# = 0 ] || [ "$*" = --all ]; then
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  .venv/bin/pyright --pythonpath .venv/bin/python
fi
# Two test files run at the same time, since tracing graphs, which takes long, uses one thread only.
.venv/bin/python -m pytest --numprocesses=2 "$@"
