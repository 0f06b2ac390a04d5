#!/usr/bin/env bash
# The gate: runs every stage, cheapest first, also after one that failed; ends with 1 if anything failed.
#
#   scripts/test.sh [--only STAGE[,STAGE…]]
#
# The last line sums up: `N passed, N failed`, and `, N skipped` if any. Each test counts one, and so does each stage
# without tests. A stage whose tool is missing is skipped; REPRISE_REQUIRE=envoy,docker,node makes that a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
built="${CARGO_TARGET_DIR:-$PWD/target}"
logs="$built/gate"
stages=(format lints docs house unit manifests wasm e2e tour docker)
tail_lines=40

# --- the stages: each runs in a shell of its own that ends at the first failure ---

stage_format() {
  cargo fmt --check
}

stage_lints() {
  target wasm32-wasip1
  cargo clippy --keep-going --workspace --all-targets --all-features -- -D warnings
  local filter=(cargo clippy --package reprise-filter --target wasm32-wasip1 --lib --examples)
  "${filter[@]}" -- -D warnings
  "${filter[@]}" --features trap -- -D warnings
}

stage_docs() {
  target wasm32-wasip1
  export RUSTDOCFLAGS="-D warnings"
  local docs=(cargo doc --no-deps --document-private-items)
  "${docs[@]}" --workspace --exclude reprise-filter
  # Half of the filter, and what its documentation links to, is there on its own target only.
  "${docs[@]}" --package reprise-filter --target wasm32-wasip1
}

stage_house() {
  # The built filter's imports are a rule of the house.
  scripts/build-filter.sh
  cargo test --package reprise-tests --test house -- --nocapture
}

stage_unit() {
  local code=0
  cargo test --no-fail-fast --package reprise-core --package reprise-filter --package replayd || code=1
  cargo test --no-fail-fast --package reprise-tests --lib --bins || code=1
  cargo test --package reprise-tests --doc || code=1
  return "$code"
}

stage_manifests() {
  cargo build --package replayd --package reprise-tests --bins
  for file in envoy.yaml istio.yaml envoy-gateway.yaml; do
    "$built/debug/replayd" check-config "envoy/$file"
  done
}

stage_wasm() {
  command -v node || missing node "Node is not here, and runs the core's tests as wasm"
  target wasm32-unknown-unknown
  local version runner
  version=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
  runner=$(command -v wasm-bindgen-test-runner || true)
  if [[ -z "$runner" || "$("$runner" --version)" != *" $version" ]]; then
    local root="$PWD/.reprise/wasm-bindgen-$version"
    runner="$root/bin/wasm-bindgen-test-runner"
    # It runs for seconds: an optimized build would cost more than it saves.
    [[ -x "$runner" ]] || cargo install --quiet --debug wasm-bindgen-cli --version "$version" --root "$root"
  fi
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="$runner" \
    cargo test --package reprise-core --target wasm32-unknown-unknown
}

stage_e2e() {
  ENVOY_BIN=$(scripts/envoy.sh) && export ENVOY_BIN || echo "Envoy cannot be had"
  scripts/build-filter.sh --trap
  cargo build --package replayd --package reprise-tests --bins
  local code=0
  cargo test --package reprise-tests --test e2e -- --nocapture || code=1
  cargo test --package reprise-tests --test history -- --nocapture || code=1
  return "$code"
}

stage_tour() {
  scripts/envoy.sh || missing envoy "Envoy cannot be had"
  scripts/up.sh --demo
}

stage_docker() {
  docker info --format '{{.ServerVersion}}' || missing docker "no Docker engine answers"
  scripts/images.sh
  cargo test --package reprise-tests --test containers -- --test-threads=1 --nocapture
}

# --- what stages share ---

target() { # TRIPLE: has rustup add the target if it is not there
  rustc --print target-libdir --target "$1" | xargs test -d || rustup target add "$1"
}

missing() { # TOOL WHY: ends the stage, as skipped unless the tool is required
  echo "skipped: $2"
  [[ ",${REPRISE_REQUIRE:-}," == *",$1,"* ]] && exit 1
  exit 77
}

# --- running and counting ---

only=
case "${1:-}" in
  "") ;;
  --only) only=",${2:?--only wants stages: ${stages[*]}}," ;;
  *)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    echo "stages: ${stages[*]}" >&2
    exit 2
    ;;
esac
for name in ${only//,/ }; do
  [[ " ${stages[*]} " == *" $name "* ]] || { echo "no stage is called $name; there are: ${stages[*]}" >&2; exit 2; }
done

sum() { # passed|failed LOG: adds up what cargo's summaries say
  { grep -oE "^test result: .*" "$2" || true; } | { grep -oE "[0-9]+ $1" || true; } | awk '{n += $1} END {print n + 0}'
}

# The summaries' tests that printed `skipped:` are counted as passed there.
skipped_in() { grep -cE '^(test .* \.\.\. )?skipped: ' "$1" || true; }

report() { # LOG: shows which tests failed and why, and how the stage ended
  grep -E '^test .* (FAILED|FAIL)$|^error(\[|:)' "$1" | sort -u | head -n 20 | sed 's/^/  /' || true
  local lines=$tail_lines
  if grep -q "^thread '.* panicked at " "$1"; then
    grep -A 4 "^thread '.* panicked at " "$1" | cut -c 1-300 | head -n 60 | sed 's/^/  /' || true
    lines=5
  fi
  echo "  --- the end of $1:"
  tail -n "$lines" "$1" | sed 's/^/  /'
}

trap 'exit 130' INT
trap 'exit 143' TERM
passed=0 failed=0 skipped=0
mkdir -p "$logs"
for name in "${stages[@]}"; do
  [[ -z "$only" || "$only" == *",$name,"* ]] || continue
  log="$logs/$name.log" began=$SECONDS code=0
  set +e
  (set -e; "stage_$name") </dev/null >"$log" 2>&1
  code=$?
  set -e
  took="$((SECONDS - began)) s"
  if ((code == 77)); then
    skipped=$((skipped + 1))
    echo "$name $(tail -n 1 "$log")"
    continue
  fi
  good=$(sum passed "$log") bad=$(sum failed "$log") away=$(skipped_in "$log")
  if ((good + bad == 0)); then
    # No tests: the stage counts as one.
    if ((code)); then
      bad=1
      echo "$name FAILED $took"
    else
      good=1
      echo "$name ok $took"
    fi
  else
    good=$((good - away))
    # What failed beside the tests, such as a build, counts as one.
    if ((code && !bad)); then bad=1; fi
    echo "$name: $good passed, $bad failed, $away skipped, $took"
    skipped=$((skipped + away))
  fi
  passed=$((passed + good)) failed=$((failed + bad))
  if ((code || bad)); then report "$log"; fi
done

if ((skipped)); then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
((failed == 0))
