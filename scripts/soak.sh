#!/usr/bin/env bash
# Plays random histories against a real Envoy for as long as one likes, and judges them:
#
#   scripts/soak.sh MINUTES [--seed N]
#
# It tells once a minute what it saw. It ends with 1 if a key ran twice, an answer was wrong, a request hung, or Envoy
# needs over 5 % more memory at the end than after two minutes.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"

ENVOY_BIN="$("$root/scripts/envoy.sh")"
REPRISE_TRAP_WASM="$("$root/scripts/build-filter.sh" --trap)"
export ENVOY_BIN REPRISE_TRAP_WASM REPRISE_REQUIRE=envoy
cargo build --manifest-path "$root/Cargo.toml" --package reprise-tests --bin soak --release >&2
exec "${CARGO_TARGET_DIR:-$root/target}/release/soak" "$@"
