#!/usr/bin/env bash
# Runs everything on this machine: the demo application, replayd, and Envoy with envoy/envoy.yaml, until Ctrl-C.
# With --demo: walks through a tour on free ports instead, and ends with 1 if anything is not as promised.
set -euo pipefail
cd "$(dirname "$0")/.."
demo=${1:-}
if [[ -n "$demo" && "$demo" != --demo ]]; then
  sed -n '2,3s/^# //p' scripts/up.sh >&2
  exit 2
fi
built="${CARGO_TARGET_DIR:-$PWD/target}"

envoy=$(scripts/envoy.sh)
wasm=$(scripts/build-filter.sh)
cargo build --package replayd --package reprise-tests --bins

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
edge=10000 admin=9901 app=8080 ingest=7380 console=7381
if [[ "$demo" == --demo ]]; then
  edge=$(free_port) admin=$(free_port) app=$(free_port) ingest=$(free_port) console=$(free_port)
fi
for port in "$edge" "$admin" "$app" "$ingest" "$console"; do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "port $port of 127.0.0.1 is in use; it is needed here" >&2
    exit 1
  fi
done

# Everything runs in a directory of its own, which goes with it; only the keys of a real run would be worth keeping,
# and they live in Envoy's memory. Its name is fixed, so that the README can say it: the ports let only one run at a time.
run="$PWD/.reprise/up"
[[ "$demo" == --demo ]] && run=$(mktemp -d)
finish() {
  trap - EXIT INT TERM
  # Only what still runs: the application may be long gone, and its number another process's.
  jobs -pr | xargs -n 1 kill 2>/dev/null || true
  wait
  rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# An earlier run that could not clean up may have left its own.
rm -rf "$run"
mkdir -p "$run"
cp envoy/envoy.yaml "$run/envoy.yaml"
ln -s "$wasm" "$run/reprise.wasm"
if [[ "$demo" == --demo ]]; then
  sed -i.bak -e "s/port_value: 10000/port_value: $edge/" -e "s/port_value: 9901/port_value: $admin/" \
    -e "s/port_value: 8080/port_value: $app/" -e "s/port_value: 7380/port_value: $ingest/" "$run/envoy.yaml"
  # The tour shows a record that expires: one path keeps its records for two seconds.
  rule='- {match: {path: "/tour/expiry/{id}"}, idempotency: {retain_s: 2}}'
  sed -i.bak "s|^\( *\)rules:\$|&\n\1  $rule|" "$run/envoy.yaml"
fi

started=()
start() {
  local name=$1
  shift
  (cd "$run" && exec "$@") >"$run/$name.log" 2>&1 &
  started+=($!)
}
ready() { # NAME URL: waits until URL answers; fails with the log if it does not
  for _ in {1..300}; do
    curl --silent --fail --output /dev/null "$2" && return
    kill -0 "${started[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "$1 did not start:" >&2
  cat "$run/$1.log" >&2
  exit 1
}
start upstream "$built/debug/demo-upstream" "127.0.0.1:$app"
ready upstream "http://127.0.0.1:$app/_log"
start replayd "$built/debug/replayd" serve --data-dir reprise-data \
  --ingest-address "127.0.0.1:$ingest" --console-address "127.0.0.1:$console"
ready replayd "http://127.0.0.1:$console/readyz"
start envoy "$envoy" -c envoy.yaml --disable-hot-restart -l warning
ready envoy "http://127.0.0.1:$admin/ready"

if [[ "$demo" == --demo ]]; then
  # The tour kills the application, and the shell would say so itself when all has been said.
  exec 3>&2 2>/dev/null
  "$built/debug/tour" "http://127.0.0.1:$edge" "http://127.0.0.1:$app" "$run" "${started[0]}" 2>&3
  exit
fi
cat <<EOF
Envoy listens at http://127.0.0.1:$edge, its admin page is http://127.0.0.1:$admin, replayd is at http://127.0.0.1:$console.
Send this twice: the application makes one payment, and the second response carries Idempotent-Replayed: true.

  curl -i http://127.0.0.1:$edge/api/payments -H 'Idempotency-Key: invoice-7' -d '{"amount": 4200}'

Payments run detached: hang up while one is made (x-script has the demo take three seconds for it), and its retry is told
that it runs, and after these three seconds finds the answer.

  curl -m 1 http://127.0.0.1:$edge/api/payments -H 'Idempotency-Key: invoice-8' -H 'x-script: {"delay_ms": 3000}' -d '{}'
  curl -i http://127.0.0.1:$edge/api/payments -H 'Idempotency-Key: invoice-8' -d '{}'

Commands wait in the application's memory. Post some, and kill the application:

  curl -i http://127.0.0.1:$edge/api/commands -d '{"command": "restart wifi"}'
  kill ${started[0]}

Start it again in a terminal of its own (Ctrl-C ends it there, not here):

  $built/debug/demo-upstream 127.0.0.1:$app

Its queue is empty. Bring the commands back, and look:

  curl -s http://127.0.0.1:$edge/api/commands
  $built/debug/replayd restore --target http://127.0.0.1:$app --yes --data-dir $run/reprise-data
  curl -s http://127.0.0.1:$edge/api/commands

Then try another amount, no key, or look at what was counted (five times a second):

  curl -s http://127.0.0.1:$admin/stats/prometheus | grep ^reprise

Ask replayd what it thinks: $built/debug/replayd doctor --data-dir $run/reprise-data
Logs are in $run. Ctrl-C ends everything and removes what replayd has.
EOF
# Ends when Envoy or replayd does; the application is there to be killed.
wait -n "${started[@]:1}" || true
echo "Envoy or replayd has ended:" >&2
tail -n 5 "$run"/{envoy,replayd}.log >&2
exit 1
