# Changes to the project's root and creates the virtual environment .venv there; other scripts
# source this file. The locked dependencies are installed there, and the package itself, editable.
# If .venv exists, each is installed again only after a change of the files that it depends on.
# It also defines `train`, for scripts that go on with a trained run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# end_on_signals: from now on a signal ends the script, as soon as the command in progress has ended.
end_on_signals() {
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  trap 'exit 138' USR1
  trap - INT
}
end_on_signals

# train RECIPE WORKDIR
# Trains a run. The script goes on after the run's last step only: otherwise it ends, with the status
# of the signal that it received, with that of the training, or with 1 if the training was stopped
# alone. SIGTERM, SIGHUP and SIGUSR1 are passed on; Ctrl-C reaches the training by itself. The
# training saves, and the script waits for it.
train() {
  local status=0
  training= ended_by=
  trap 'stop_training 143' TERM
  trap 'stop_training 129' HUP
  trap 'stop_training 138' USR1
  trap 'ended_by=130' INT
  # Bash acts on a signal at once only while it waits for a command in the background. Such a command
  # would ignore Ctrl-C: the inner trap undoes this.
  (trap - INT QUIT; exec .venv/bin/python -m tf_mdsm.main --config="$1" --workdir="$2") &
  training=$!
  if [ -n "$ended_by" ]; then stop_training "$ended_by"; fi
  wait "$training" || status=$?
  # A signal ends `wait` before the training.
  while kill -0 "$training" 2> /dev/null; do
    status=0
    wait "$training" || status=$?
  done
  if [ -n "$ended_by" ]; then exit "$ended_by"; fi
  if [ "$status" != 0 ]; then exit "$status"; fi
  end_on_signals
  require_last_step "$2"
}

# stop_training STATUS: makes the training save and end; `train` will end the script with STATUS.
# A signal may have reached the training too. A second SIGTERM would end it before it has saved, but
# no SIGUSR1 does.
stop_training() {
  ended_by="$1"
  if [ -n "$training" ]; then kill -USR1 "$training" 2> /dev/null || true; fi
}

# require_last_step WORKDIR: ends the script with 1 if a run is to be trained further.
require_last_step() {
  local last step
  last="$(sed -n '/^  "training": {/,/}/s/^ *"num_steps": \([0-9]*\).*/\1/p' "$1/config.json")" || true
  step="$(sed -n 's/^model_checkpoint_path: ".*step-\([0-9]*\)"$/\1/p' "$1/checkpoints/checkpoint")" || true
  if [ "$step" != "$last" ]; then
    echo "$1 is trained up to step $step of $last: give the same command again to continue" >&2
    exit 1
  fi
}

python="${PYTHON:-python3}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Python 3.11 or later is needed; name one with PYTHON=…  Found: $("$python" --version)" >&2
  exit 1
fi

# install STAMP FILE... -- PIP_ARGUMENTS...
# Runs `pip install PIP_ARGUMENTS`, unless the content of the FILEs is the same as at the last
# successful call with this STAMP. Returns pip's status; after a failure the next call tries again.
install() {
  local stamp=".venv/$1" files=() sum
  shift
  while [ "$1" != -- ]; do files+=("$1"); shift; done
  shift
  sum="$(cat "${files[@]}" | cksum)"
  if [ "$(cat "$stamp" 2> /dev/null)" = "$sum" ]; then return; fi
  echo "Installing what ${files[*]} asks for (up to a minute or two) …"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" || return
  echo "$sum" > "$stamp"
}

if ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
  echo "Creating .venv …"
  "$python" -m venv .venv
fi
# requirements.lock lists all packages with the hashes of their files. pip installs no other package
# and refuses files with other hashes.
install requirements.installed requirements.lock -- --require-hashes --no-deps -r requirements.lock
# The package: `import tf_mdsm` and the command tf-mdsm work in every folder. Nothing is downloaded:
# the locked setuptools builds it.
install package.installed pyproject.toml requirements.txt -- \
  --no-deps --no-build-isolation --editable .
