#!/usr/bin/env bash
# Checks licences, sources and bans of all dependencies by deny.toml; installs cargo-deny into .reprise/ if it is not here.
# Not part of the gate: the tool takes minutes to build. With arguments, checks those instead, as `advisories`, whose
# list is fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2

deny=$(command -v cargo-deny || true)
if [[ -z "$deny" ]]; then
  root="$PWD/.reprise/cargo-deny-$version"
  deny="$root/bin/cargo-deny"
  [[ -x "$deny" ]] || cargo install --quiet cargo-deny --version "$version" --root "$root" >&2
fi
(($#)) || set -- licenses sources bans
exec "$deny" --workspace check "$@"
