#!/usr/bin/env bash
# Removes noise from the photographs of a folder, or from one photograph:
#   launch/photos.sh DIR           with a model that is trained here, in gray, once, in runs/photos
#   launch/photos.sh DIR RUN       with the model of a run of configs/photos.py
# More flags are those of --mode=restore: launch/photos.sh DIR RUN --config.restoration.task=…
# DIR and RUN are seen from where the command is given. Results: RUN/restorations/denoise/.
# The program is installed into .venv first (launch/environment.sh).
if [ $# = 0 ]; then
  echo "Name a folder of photographs: launch/photos.sh DIR [RUN]" >&2
  exit 2
fi
photos="$(realpath -m "$1")"
run="$(realpath -m "${2:-$(dirname "${BASH_SOURCE[0]}")/../runs/photos}")"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ $# = 1 ]; then
  train configs/photos.py "$run"
fi
exec .venv/bin/python -m tf_mdsm.main --workdir="$run" --mode=restore --config.restoration.task=denoise \
  --config.restoration.images="$photos" --config.restoration.measured "${@:3}"
