#!/usr/bin/env bash
# From a fresh clone to a verdict: environment, linter, the whole test suite.
# Arguments go to pytest:  launch/test.sh -k langevin      (-n0: one after the other)
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install tests.installed requirements.txt pyproject.toml -- --editable '.[test]'

# PyTorch, for the tests that read the authors' checkpoints and those that compare with programs
# that need it; without it they are skipped.
install torch.installed pyproject.toml -- --editable '.[torch,peers]' ||
  echo "PyTorch could not be installed: its tests are skipped"

# Real Fashion-MNIST for the data tests, where this is Debian and we may; else they are skipped.
fashion=dataset-fashion-mnist
if [ ! -d /usr/share/datasets/fashion-mnist ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  apt-get install --yes --quiet=2 "$fashion" > /dev/null 2>&1 ||
    { apt-get update --quiet=2 && apt-get install --yes --quiet=2 "$fashion"; } > /dev/null 2>&1 ||
    echo "Debian's $fashion could not be installed: its tests are skipped"
fi

.venv/bin/ruff check .
.venv/bin/ruff format --check .
# Two files at a time: much of a test's time is one thread that traces graphs.
.venv/bin/python -m pytest --numprocesses=2 --dist=loadfile "$@"
