#!/bin/sh
# Measures what the filter costs, as ratios to the same Envoy without it:
#
#   scripts/bench.sh [--json FILE] [ROW…]
#
# Prints a table; `cargo run -p reprise-tests --bin bench` names all rows and options. Needs an idle machine with two
# cores to mean anything, and about six minutes for all rows.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
wasm=$target/wasm32-wasip1/wasm

if [ -n "${ENVOY_BIN:-}" ]; then
    envoy=$ENVOY_BIN
else
    envoy=$(command -v envoy || "$root/scripts/envoy.sh")
fi

build() {
    (cd "$root" && cargo build --quiet "$@" >&2)
}
build -p reprise-filter --lib --target wasm32-wasip1 --profile wasm
build -p reprise-filter --example noop --target wasm32-wasip1 --profile wasm
build -p reprise-tests --bin bench --release

exec "$target/release/bench" --envoy "$envoy" --wasm "$wasm/reprise.wasm" --noop "$wasm/examples/noop.wasm" "$@"
