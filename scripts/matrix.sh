#!/usr/bin/env bash
# Runs the probes of the host, and a smoke part of the end-to-end tests, on several versions of Envoy.
#
#   scripts/matrix.sh [VERSION…]
#
# Prints one table, tests by version, and ends with 1 if anything failed. What a version printed is in
# target/matrix/VERSION.log. envoy/README.md says what differs.
set -euo pipefail
cd "$(dirname "$0")/.."
versions=("$@")
if ((!$#)); then versions=(1.38.2 1.39.3 1.40.0); fi
# Each probe is a row of its own; of the smoke part each module is one.
smoke=(answers body config crash metadata outcomes protocols reference reload)
logs="${CARGO_TARGET_DIR:-$PWD/target}/matrix"
# A test that skips itself would count as passed.
export REPRISE_REQUIRE="envoy,${REPRISE_REQUIRE:-}"

run() { # VERSION: prints `probe|smoke ROW VERSION ok|FAILED` for each test
  local log="$logs/$1.log" result=" \.\.\. (ok|FAILED)$"
  if ! ENVOY_BIN=$(scripts/envoy.sh "$1" 2>"$log"); then
    echo "Envoy $1 cannot be had, see $log" >&2
    return
  fi
  export ENVOY_BIN
  cargo test --package reprise-tests --test e2e -- host:: "${smoke[@]/%/::}" >"$log" 2>&1 || true
  sed -nE "s/^test (host::.*)$result/probe \1 $1 \2/p; t; s/^test ([a-z_]+)::.*$result/smoke \1 $1 \2/p" "$log"
}

table() { # VERSION…: reads what the runs printed
  awk -v versions="$*" '
    { row = $1 " " $2; ran[row, $3]++; failed[row, $3] += $4 == "FAILED" }
    row != last { rows[++count] = last = row }
    function cell(row, version) {
      if (ran[row, version] && !failed[row, version]) return "passed"
      bad = 1
      return ran[row, version] ? failed[row, version] " of " ran[row, version] " failed" : "did not run"
    }
    END {
      rows[0] = "Envoy"
      columns = split(versions, version, " ")
      for (n = 0; n <= count; n++) {
        printf "%-86s", rows[n]
        for (at = 1; at <= columns; at++) printf " %-14s", n ? cell(rows[n], version[at]) : version[at]
        print ""
      }
      exit bad || !count
    }'
}

mkdir -p "$logs"
{
  scripts/build-filter.sh --trap
  cargo build --package replayd --package reprise-tests --bins
  cargo test --no-run --package reprise-tests --test e2e
} >&2
for version in "${versions[@]}"; do
  echo "Envoy $version" >&2
  run "$version"
done | LC_ALL=C sort -k 1,2 | table "${versions[@]}"
