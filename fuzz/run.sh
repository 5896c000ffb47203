#!/usr/bin/env bash
# Builds the fuzz targets with coverage in this project's own code only (the dependencies are
# those of the wheel, compiled once) and runs each for FUZZ_SECONDS; a crash is kept under
# fuzz/crashes and fails. Inputs in fuzz/crashes are run first, every time.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
seconds=${FUZZ_SECONDS:-15}
RUSTC_WORKSPACE_WRAPPER="$PWD/fuzz/instrument.sh" cargo build --release --quiet -p wattline-fuzz
for name in reader sniffer times partials; do
  mkdir -p "fuzz/corpus/$name" "fuzz/crashes/$name"
  cp -n fuzz/seeds/"$name"/* "fuzz/corpus/$name/" 2>/dev/null || true
  for kept in fuzz/crashes/"$name"/*; do
    [ -e "$kept" ] && "$target/release/$name" "$kept" >/dev/null 2>&1 || { [ ! -e "$kept" ] || { echo "fuzz $name: $kept still fails"; exit 1; }; }
  done
  "$target/release/$name" -seed="${FUZZ_SEED:-1}" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -max_len=65536 -print_final_stats=0 \
    -artifact_prefix="fuzz/crashes/$name/" "fuzz/corpus/$name" >"$target/fuzz-$name.log" 2>&1 \
    || { tail -40 "$target/fuzz-$name.log"; exit 1; }
  echo "fuzz $name: $(grep -c . <(ls "fuzz/corpus/$name")) inputs, $(grep -oE '^#[0-9]+' "$target/fuzz-$name.log" | tail -1 | tr -d '#') runs, no crash"
done
