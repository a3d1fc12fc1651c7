#!/usr/bin/env bash
# Trains on N workers of this machine, as a try-out of many machines:
#   launch/workers.sh 2 --config=configs/digits.py --workdir=runs/two
# What follows N goes to every worker. They talk on the loopback interface, each line they print
# begins with the worker's number, and when one fails the others end. Ctrl-C and SIGTERM go to
# all: they save, then stop. PYTHON names another interpreter than the environment's.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
count="${1:-}"
if ! [[ "$count" =~ ^[1-9][0-9]*$ ]]; then
  echo "How many workers? launch/workers.sh N --config=… --workdir=…" >&2
  exit 2
fi
shift

# Free ports, all held at once so that they differ.
addresses="$("$python" -c '
import json, socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(json.dumps([f"localhost:{s.getsockname()[1]}" for s in held]))
' "$count")" || exit 2

# Job control gives every worker a process group, so that a terminal's Ctrl-C comes to us alone.
set -m
workers=()
for ((i = 0; i < count; i++)); do
  TF_CONFIG="{\"cluster\": {\"worker\": $addresses}, \"task\": {\"type\": \"worker\", \"index\": $i}}" \
    "$python" -u -m tf_mdsm.main --config.training.strategy=multi_worker_mirrored \
    --config.training.cluster=tf_config "$@" \
    > >(sed -u "s/^/[$i] /") 2> >(sed -u "s/^/[$i] /" >&2) &
  workers+=($!)
done
set +m
tell() { kill "-$1" "${workers[@]}" 2> /dev/null; }
trap 'tell INT' INT
trap 'tell TERM' TERM

# The first that fails gives the exit status; the others get half a minute to notice themselves.
status=0 left="$count" deadline=
while [ "$left" -gt 0 ]; do
  left=0
  for worker in "${workers[@]}"; do
    if kill -0 "$worker" 2> /dev/null; then left=$((left + 1)); continue; fi
    wait "$worker"
    ended=$?
    if [ "$ended" != 0 ] && [ "$status" = 0 ]; then status="$ended" deadline=$((SECONDS + 30)); fi
  done
  if [ -n "$deadline" ] && [ "$SECONDS" -ge "$deadline" ]; then tell KILL; fi
  sleep 0.2
done
exit "$status"
