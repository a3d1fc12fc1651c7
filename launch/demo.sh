#!/usr/bin/env bash
# Shows a trained model in the browser of this machine: draw, fill in, denoise, energies.
#   launch/demo.sh runs/digits                 a run's folder
#   launch/demo.sh examples/digits             the trained model that comes along
#   launch/demo.sh runs/digits/export/1        an export; or a server, grpc://localhost:8500
# More flags: --port=8090, --images=PATH, --model=NAME. A folder is seen from where the command is
# given, PATH too.
if [ $# = 0 ]; then
  echo "Name a run's folder, an export or a server: launch/demo.sh examples/digits" >&2
  exit 2
fi
arguments=()
for argument in "$@"; do
  case "$argument" in
    *://*) arguments+=("$argument") ;;
    --images=*) arguments+=("--images=$(realpath -m "${argument#--images=}")") ;;
    -*) arguments+=("$argument") ;;
    *) arguments+=("$(realpath -m "$argument")") ;;
  esac
done
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install demo.installed pyproject.toml -- --no-build-isolation --editable '.[demo]'

exec .venv/bin/python -m tf_mdsm.demo "${arguments[@]}"
