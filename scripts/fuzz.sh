#!/usr/bin/env bash
# Feeds random bytes to what reads bytes from elsewhere, each target for a while; ends with 1 if one of them breaks.
#
#   scripts/fuzz.sh [SECONDS [TARGET…]]
#
# 60 seconds for each of the targets in fuzz/ if not told otherwise. Not part of the gate. Installs cargo-fuzz into
# .reprise/ if it is not here; needs a C++ compiler. What broke a target is kept in fuzz/artifacts/, and what was learnt
# in fuzz/corpus/.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.13.2
seconds=${1:-60}
[[ "$seconds" =~ ^[1-9][0-9]*$ ]] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
shift || true

fuzz=$(command -v cargo-fuzz || true)
if [[ -z "$fuzz" ]]; then
  root="$PWD/.reprise/cargo-fuzz-$version"
  fuzz="$root/bin/cargo-fuzz"
  [[ -x "$fuzz" ]] || cargo install --quiet --debug cargo-fuzz --version "$version" --root "$root" >&2
fi
# The pinned compiler is a stable one, and what counts branches is not stable. No sanitizer: there is no unsafe code.
export RUSTC_BOOTSTRAP=1
(($#)) || mapfile -t targets < <("$fuzz" list)
(($#)) && targets=("$@")
failed=()
for target in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$target"
  # What is committed as fixtures is where the search begins.
  seeds=("fuzz/corpus/$target")
  [[ "$target" == batch || "$target" == policy ]] && seeds+=(src/core/wire/fixtures)
  [[ "$target" == document ]] && seeds+=(src/core/config/fixtures)
  echo "fuzz: $target for $seconds s"
  "$fuzz" run --sanitizer none "$target" "${seeds[@]}" -- -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
    -verbosity=0 -print_funcs=0 -print_final_stats=1 || failed+=("$target")
done
if ((${#failed[@]})); then
  echo "fuzz: broken: ${failed[*]}"
  exit 1
fi
echo "fuzz: ${#targets[@]} targets held"
