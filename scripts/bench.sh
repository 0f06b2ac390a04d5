#!/usr/bin/env bash
# Measures what the filter costs, as ratios to the same Envoy without it, and prints a table:
#
#   scripts/bench.sh [--json FILE] [ROW…]
#
# An unknown row makes it name all rows and options. All rows take about ten minutes, and mean something only on an
# otherwise idle machine with two cores.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"

envoy="$("$root/scripts/envoy.sh")"
wasm="$("$root/scripts/build-filter.sh")"
manifest=(--quiet --manifest-path "$root/Cargo.toml")
cargo build "${manifest[@]}" --package reprise-filter --example noop --target wasm32-wasip1 --profile wasm >&2
cargo build "${manifest[@]}" --package reprise-tests --bin bench --package replayd --bin replayd --release >&2

exec "${CARGO_TARGET_DIR:-$root/target}/release/bench" \
  --envoy "$envoy" --wasm "$wasm" --noop "$(dirname "$wasm")/examples/noop.wasm" \
  --replayd "${CARGO_TARGET_DIR:-$root/target}/release/replayd" "$@"
