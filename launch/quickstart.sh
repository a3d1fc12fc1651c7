#!/usr/bin/env bash
# Trains on 8x8 digits and samples 64 new ones, after creating the environment .venv:
#   launch/quickstart.sh
# Needs bash, Python 3.11 or later, and access to PyPI. Can be started again at any time: training
# resumes from its last checkpoint. Writes runs/digits/.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

train configs/digits.py runs/digits
.venv/bin/python -m tf_mdsm.main --config=configs/digits.py --mode=sample

echo
echo "Look at   the .png files above, in runs/digits/samples/"
echo "Watch     .venv/bin/tensorboard --logdir=runs"
