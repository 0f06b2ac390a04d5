#!/usr/bin/env bash
# Builds the filter and prints where it is. With --trap: also the crash tests' build, which traps on command, and
# prints that one's place. Both stand side by side.
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-wasip1
folder="${CARGO_TARGET_DIR:-$PWD/target}/$target/wasm"

if ! rustc --print target-libdir --target "$target" | xargs test -d; then
  rustup target add "$target" >&2
fi
# As a cdylib alone: cargo drops `lto` where an rlib is built beside it.
build=(cargo rustc --package reprise-filter --lib --crate-type cdylib --target "$target" --profile wasm)
if [[ "${1:-}" == --trap ]]; then
  "${build[@]}" --features trap >&2
  # Removed first: cargo's file is a hard link, which must not be written through.
  rm -f "$folder/reprise-trap.wasm"
  cp "$folder/reprise.wasm" "$folder/reprise-trap.wasm"
fi
"${build[@]}" >&2
case "${1:-}" in
  --trap) echo "$folder/reprise-trap.wasm" ;;
  *) echo "$folder/reprise.wasm" ;;
esac
