#!/usr/bin/env bash
# Builds the filter and the images that envoy/compose.yaml runs: demo-upstream and replayd out of the debug build and the
# libraries that it needs. Envoy's own image is pulled; where that cannot be done, one is built out of the binary that
# scripts/envoy.sh finds. ENVOY_IMAGE names another one, and neither happens. Prints the images' names.
set -euo pipefail
cd "$(dirname "$0")/.."
built="${CARGO_TARGET_DIR:-$PWD/target}"
default=envoyproxy/envoy:v1.40.0

docker info >/dev/null
# Without buildx the old builder does it; it asks to be chosen.
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0

layout=$(mktemp -d)
trap 'rm -rf "$layout"' EXIT

put() { # FILE PLACE: into the image that is being laid out
  install -D -m 755 "$1" "$layout/files$2"
}
image() { # NAME BINARY [LIBRARY…]: names of libraries beside the C library that ldd does not list
  local name=$1 binary=$2 library
  shift 2
  rm -rf "${layout:?}"/*
  put "$binary" "/usr/local/bin/$name"
  ldd "$binary" | grep -o '/[^ ]*' >"$layout/libraries"
  while read -r library; do put "$library" "$library"; done <"$layout/libraries"
  for library in "$@"; do
    library="$(dirname "$(grep '/libc\.so' "$layout/libraries")")/$library"
    put "$library" "$library"
  done
  mkdir -p "$layout/files/etc"
  echo 'hosts: files dns' >"$layout/files/etc/nsswitch.conf"
  # What the program may write to.
  mkdir -p "$layout/owned"
  mkdir -m 700 "$layout/owned/data"
  docker build --quiet --tag "reprise-$name:local" --file "envoy/Dockerfile.$name" "$layout" >&2
  echo "reprise-$name:local"
}

scripts/build-filter.sh >&2
cargo build --quiet --package replayd --package reprise-tests --bins
image demo-upstream "$built/debug/demo-upstream"
image replayd "$built/debug/replayd"
if [[ -n "${ENVOY_IMAGE:-}" ]]; then
  echo "$ENVOY_IMAGE"
elif docker image inspect "$default" >/dev/null 2>&1 || timeout 120 docker pull --quiet "$default" >/dev/null 2>&1; then
  echo "$default"
else
  image envoy "$(scripts/envoy.sh)" libnss_files.so.2 libnss_dns.so.2 libresolv.so.2
fi
# What these tags named before.
docker image prune --force --filter label=reprise.image=local >/dev/null
