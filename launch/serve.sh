#!/usr/bin/env bash
# Serves the exported model of a run with TensorFlow Serving in Docker, over gRPC and REST.
#
#   launch/serve.sh WORKDIR [--name=tf_mdsm] [--image=tensorflow/serving:2.19.1]
#                   [--bind=127.0.0.1] [--grpc_port=8500] [--rest_port=8501] [--patience=1800]
#                   [--versions=1,2] [--batching=true] [--server_flag=--NAME=VALUE]...
#                   [-- DOCKER_ARGUMENTS]
#
# --name      name of the container; the name of the model is always tf_mdsm
# --image     an image of TensorFlow Serving; none has been tried with an export. With GPUs
#             --image=tensorflow/serving:2.19.1-gpu -- --gpus=all
# --bind      address of this machine at which the server listens; by default only this machine has
#             access, since the server asks for no password
# --patience  seconds to wait until the model is loaded; loading ends with two complete sampling
#             runs
#
# --versions  versions to serve, all at the same time, and no others; without it, the newest one
# --batching  false: requests are not merged, as an export of images of any size needs it
# --server_flag
#             a flag of the server itself, in place of the script's if it has the same name; may be
#             given several times: --server_flag=--tensorflow_intra_op_parallelism=2
#
# DOCKER_ARGUMENTS go to docker create: -- --restart=unless-stopped --memory=4g
#
# Without --versions, a version that is exported later is loaded automatically. The server's settings
# are in launch/serving/. If the served versions ask for other ones, a copy is written to
# WORKDIR/serving: with batches of the smallest export.max_batch_size among them, and with
# --versions. Before an export with a smaller limit, stop the server (docs/guide/serving.md).
#
# Not verified: the script has been tested with a stand-in for docker, never with the real images.
set -euo pipefail

workdir= name=tf_mdsm image=tensorflow/serving:2.19.1 bind=127.0.0.1 grpc_port=8500 rest_port=8501
model=tf_mdsm versions= batching=true patience=1800
server_flags=()

# fail STATUS MESSAGE: prints the message and exits.
fail() { echo "serve.sh: $2" >&2; exit "$1"; }

while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --) shift; break ;;
    --server_flag=*)
      [[ "$1" =~ ^--server_flag=--[a-z_]+=. ]] ||
        fail 2 "--server_flag must be like --server_flag=--NAME=VALUE: $1"
      server_flags+=("${1#*=}") ;;
    --name=* | --image=* | --bind=* | --grpc_port=* | --rest_port=* | --patience=* | \
      --versions=* | --batching=*)
      option="${1%%=*}" value="${1#*=}"
      [ -n "$value" ] || fail 2 "$option must be given a value"
      printf -v "${option#--}" %s "$value" ;;
    -*) fail 2 "unknown option $1; see launch/serve.sh --help" ;;
    *)
      [ -z "$workdir" ] || fail 2 "one run's folder is served, not $workdir and $1"
      workdir="$1" ;;
  esac
  shift
done

[ -n "$workdir" ] || fail 2 "name a run's folder: launch/serve.sh runs/digits"
[ -d "$workdir" ] || fail 2 "there is no folder $workdir"
for port in "$grpc_port" "$rest_port"; do
  [[ "$port" =~ ^[0-9]+$ ]] || fail 2 "a port must be a number: $port"
done
[[ "$patience" =~ ^[0-9]{1,9}$ ]] || fail 2 "--patience must be a number of seconds: $patience"
[[ "$versions" =~ ^([0-9]+(,[0-9]+)*)?$ ]] || fail 2 "--versions must be numbers between commas: $versions"
[[ "$batching" =~ ^(true|false)$ ]] || fail 2 "--batching must be true or false: $batching"
workdir="$(cd "$workdir" && pwd)"
settings="$(cd "$(dirname "${BASH_SOURCE[0]}")/serving" && pwd)"

if [ -z "$versions" ]; then
  newest=
  for path in "$workdir"/export/*/saved_model.pb; do
    found="$(basename "$(dirname "$path")")"
    if [[ -f "$path" && "$found" =~ ^[0-9]+$ ]] && [ "$found" -gt "${newest:--1}" ]; then
      newest="$found"
    fi
  done
  [ -n "$newest" ] || fail 1 "no exported version in $workdir/export; make one with
  python -m tf_mdsm.main --workdir=$workdir --mode=export"
fi
IFS=, read -ra served <<< "${versions:-$newest}"

# The server merges requests into batches. A batch larger than the export's limit would fail, and
# with it all requests in it; so the smallest limit of the served versions must be known.
limit=
for version in "${served[@]}"; do
  [ -f "$workdir/export/$version/saved_model.pb" ] || fail 1 "no exported version $version in $workdir/export"
  provenance="$workdir/export/$version/assets.extra/tf_mdsm.json"
  [ -f "$provenance" ] || fail 1 "there is no $provenance, which says how many images a request may hold; export again"
  found="$(sed -n '/"max_batch_size"/{s/.*"max_batch_size": *\([0-9]*\).*/\1/p;q}' "$provenance")"
  [[ "$found" =~ ^[1-9][0-9]{0,4}$ ]] || fail 1 "$provenance must name a max_batch_size in 1 … 65536"
  if [ "$found" -lt "${limit:-65537}" ]; then limit="$found"; fi
done

for program in docker curl; do
  command -v "$program" > /dev/null || fail 1 "$program is needed and not installed"
done
docker info > /dev/null 2>&1 || fail 1 "docker is installed but its daemon does not answer (docker info says why)"
if docker container inspect "$name" > /dev/null 2>&1; then
  fail 1 "there is a container $name already; remove it with  docker rm --force $name  or give another --name"
fi

# fitted_batches LIMIT: prints batching.config with batches of at most LIMIT images.
fitted_batches() {
  sed -e "s/^max_batch_size .*/max_batch_size { value: $1 }/" -e '/^allowed_batch_sizes:/d' \
    "$settings/batching.config"
  local size
  for ((size = 1; size < $1; size *= 2)); do
    echo "allowed_batch_sizes: $size"
  done
  echo "allowed_batch_sizes: $1"
}

# fitted_models: prints models.config with the versions that are named.
fitted_models() {
  local policy="latest { num_versions: 1 }"
  if [ -n "$versions" ]; then policy="specific {$(printf ' versions: %s' "${served[@]}") }"; fi
  sed "s/model_version_policy { .* }/model_version_policy { $policy }/" "$settings/models.config"
}

if [ -n "$versions" ] || ! grep --quiet "^max_batch_size { value: $limit }" "$settings/batching.config"; then
  fitted="$workdir/serving"
  # The server may run as another user, which must be able to read these files.
  (umask 022 && mkdir -p "$fitted" && fitted_batches "$limit" > "$fitted/batching.config" &&
    fitted_models > "$fitted/models.config" && cp "$settings/monitoring.config" "$fitted") ||
    fail 1 "$fitted cannot be written; settings for batches of $limit images belong there"
  settings="$fitted"
fi

merging=()
if [ "$batching" = true ]; then
  merging=(--enable_batching=true --batching_parameters_file=/etc/tf_serving/batching.config)
fi
flags=(--model_config_file=/etc/tf_serving/models.config
  --file_system_poll_wait_seconds=10
  "${merging[@]}"
  --monitoring_config_file=/etc/tf_serving/monitoring.config
  --rest_api_timeout_in_ms=1800000)
for given in "${server_flags[@]}"; do
  for place in "${!flags[@]}"; do
    if [ "${flags[place]%%=*}" = "${given%%=*}" ]; then unset "flags[place]"; fi
  done
done
echo "Starting $image with version ${versions:-$newest} of $workdir/export …"
container="$(docker create --name "$name" \
  --publish "$bind:$grpc_port:8500" --publish "$bind:$rest_port:8501" \
  --mount "type=bind,source=$workdir/export,target=/models/$model,readonly" \
  --mount "type=bind,source=$settings,target=/etc/tf_serving,readonly" \
  "$@" "$image" "${flags[@]}" "${server_flags[@]}")" || fail 1 "docker could not create the container"
if ! docker start "$container" > /dev/null; then
  # The container exists although it did not start (its port may be in use): free its name.
  docker rm --force "$container" > /dev/null
  fail 1 "docker could not start it"
fi

host="$bind"
[ "$bind" != 0.0.0.0 ] || host=127.0.0.1
status="http://$host:$rest_port/v1/models/$model"
deadline=$((SECONDS + patience))
until curl --silent --max-time 5 "$status" | grep --quiet '"AVAILABLE"'; do
  if [ "$(docker container inspect --format '{{.State.Running}}' "$name")" != true ]; then
    docker logs --tail 20 "$name" >&2
    docker rm --force "$name" > /dev/null
    fail 1 "the server ended; its last messages are above"
  fi
  [ "$SECONDS" -lt "$deadline" ] || fail 1 "not ready after $patience s; docker logs $name says why"
  sleep 1
done

cat << EOF
Ready.
  curl --data '{"signature_name": "sample", "inputs": {"seed": [0]}}' $status:predict
  python -m tf_mdsm.serving sample --address=grpc://$host:$grpc_port --num_images=16 --output=samples.png
  python -m tf_mdsm.serving status --address=http://$host:$rest_port
Look      docker logs --follow $name
Metrics   http://$host:$rest_port/monitoring/prometheus/metrics
Stop      docker rm --force $name
EOF
