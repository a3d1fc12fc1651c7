#!/usr/bin/env bash
# Trains with N workers on this machine, to try out training on several machines:
#   launch/workers.sh 2 --config=configs/digits.py --workdir=runs/two
# Arguments after N are passed to every worker. The workers communicate over the loopback interface.
# Every line that a worker prints begins with its number. If one worker fails, the others end.
# Ctrl-C and SIGTERM are passed on to all workers, which save and stop. The variable PYTHON names the
# interpreter; by default it is `python` of the active environment.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
count="${1:-}"
if ! [[ "$count" =~ ^[1-9][0-9]*$ ]]; then
  echo "How many workers? launch/workers.sh N --config=… --workdir=…" >&2
  exit 2
fi
shift

# Finds free ports; all are open at the same time, so that they differ.
addresses="$("$python" -c '
import json, socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(json.dumps([f"localhost:{s.getsockname()[1]}" for s in held]))
' "$count")" || exit 2

# Job control gives every worker its own process group: a terminal's Ctrl-C reaches this script only.
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
send_signal() { kill "-$1" "${workers[@]}" 2> /dev/null; }
trap 'send_signal INT' INT
trap 'send_signal TERM' TERM

# The exit status is that of the first worker that fails; the others have 30 seconds to end.
status=0 running="$count" deadline=
while [ "$running" -gt 0 ]; do
  running=0
  for worker in "${workers[@]}"; do
    if kill -0 "$worker" 2> /dev/null; then running=$((running + 1)); continue; fi
    wait "$worker"
    worker_status=$?
    if [ "$worker_status" != 0 ] && [ "$status" = 0 ]; then status="$worker_status" deadline=$((SECONDS + 30)); fi
  done
  if [ -n "$deadline" ] && [ "$SECONDS" -ge "$deadline" ]; then send_signal KILL; fi
  sleep 0.2
done
exit "$status"
