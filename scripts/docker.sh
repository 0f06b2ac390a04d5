#!/usr/bin/env bash
# Runs docker compose on envoy/compose.yaml, after scripts/images.sh:
#
#   scripts/docker.sh up -d                  starts it all
#   scripts/docker.sh port envoy 10000       tells where Envoy listens (9901: its admin page)
#   scripts/docker.sh down -v -t 1           removes it all
set -euo pipefail
cd "$(dirname "$0")/.."
built="${CARGO_TARGET_DIR:-$PWD/target}"
run="$built/containers"

# The reference with the services' names for addresses. Moved into place: others may be reading the old one.
mkdir -p "$run"
new=$(mktemp -p "$run")
sed -e 's/127\.0\.0\.1, port_value: \(9901\|10000\)}/0.0.0.0, port_value: \1}/' \
  -e 's/127\.0\.0\.1, port_value: 8080}/upstream, port_value: 8080}/' \
  -e 's/127\.0\.0\.1, port_value: 7380}/replayd, port_value: 7380}/' envoy/envoy.yaml >"$new"
if grep -q '127\.0\.0\.1' "$new"; then
  echo "envoy/envoy.yaml has an address that no service has" >&2
  rm "$new"
  exit 1
fi
# Envoy runs as a user of its own.
chmod 644 "$new"
mv "$new" "$run/envoy.yaml"
install -m 644 "${REPRISE_WASM:-$built/wasm32-wasip1/wasm/reprise.wasm}" "$run/reprise.wasm.new.$$"
mv "$run/reprise.wasm.new.$$" "$run/reprise.wasm"

# The image that scripts/images.sh builds where the default of the file cannot be pulled.
if [[ -z "${ENVOY_IMAGE:-}" ]] && ! docker image inspect envoyproxy/envoy:v1.40.0 >/dev/null 2>&1 &&
  docker image inspect reprise-envoy:local >/dev/null 2>&1; then
  export ENVOY_IMAGE=reprise-envoy:local
fi
compose=(docker-compose)
docker compose version >/dev/null 2>&1 && compose=(docker compose)
REPRISE_ENVOY_YAML="$run/envoy.yaml" REPRISE_WASM="$run/reprise.wasm" \
  exec "${compose[@]}" --file envoy/compose.yaml --project-name "${REPRISE_PROJECT:-reprise}" "$@"
