# Changes to the project's root and creates the virtual environment .venv there; other scripts
# source this file. The locked dependencies are installed there, and the package itself, editable.
# If .venv exists, each is installed again only after a change of the files that it depends on.
set -euo pipefail
# A training that is stopped by a signal saves and exits with 0. The script then ends too.
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 138' USR1
cd "$(dirname "${BASH_SOURCE[0]}")/.."

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
