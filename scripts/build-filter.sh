#!/usr/bin/env bash
# Builds the filter and prints where it is. With --trap: the crash tests' build, which traps on command, beside it.
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-wasip1
built="${CARGO_TARGET_DIR:-$PWD/target}"

if ! rustc --print target-libdir --target "$target" | xargs test -d; then
  rustup target add "$target" >&2
fi
build=(cargo build --package reprise-filter --target "$target" --profile wasm)
if [[ "${1:-}" == --trap ]]; then
  "${build[@]}" --features trap --target-dir "$built/trap" >&2
  mkdir -p "$built/$target/wasm"
  cp "$built/trap/$target/wasm/reprise.wasm" "$built/$target/wasm/reprise-trap.wasm"
  echo "$built/$target/wasm/reprise-trap.wasm"
else
  "${build[@]}" >&2
  echo "$built/$target/wasm/reprise.wasm"
fi
