#!/usr/bin/env bash
# From a fresh clone to pictures of digits: environment, training, samples.
# May be run again at any time; training goes on where it stopped.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

.venv/bin/python -m tf_mdsm.main --config=configs/digits.py
.venv/bin/python -m tf_mdsm.main --config=configs/digits.py --mode=sample

echo
echo "Look at   runs/digits/samples/heun_64.png"
echo "Watch     .venv/bin/tensorboard --logdir=runs"
