#!/usr/bin/env bash
# Builds all fuzz targets with the pinned stable compiler and runs each for some seconds.
#
#     fuzz/run.sh [SECONDS [TARGET...]]
#     fuzz/run.sh build                    # builds alone
#
# FUZZ_JOBS targets run at a time (2). FUZZ_ENGINE=1 adds the targets that link the consensus
# engine, which take some minutes more to compile; by name they are always there. Ends with 1 at the
# first input that breaks a promise, takes longer than 20 s or more than 2 GiB, and prints where the
# input lies.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-20}
[ $# -eq 0 ] || shift
host=$(rustc -vV | sed -n 's/^host: //p')
bin=${CARGO_TARGET_DIR:-target}/$host/release

# What cargo-fuzz passes, but for the address sanitizer, which takes a nightly compiler. With
# --target, build scripts and procedural macros are not instrumented.
flags=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  -Ccodegen-units=1
)

mapfile -t all < <(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' Cargo.toml)
mapfile -t engine < <(grep -B2 '^required-features' Cargo.toml | sed -n 's/^name = "\(.*\)"$/\1/p')
is_engine() { [[ " ${engine[*]} " == *" $1 "* ]]; }

targets=() features=()
if [ $# -gt 0 ]; then
  targets=("$@")
else
  for name in "${all[@]}"; do
    if [ "${FUZZ_ENGINE:-0}" = 1 ] || ! is_engine "$name"; then targets+=("$name"); fi
  done
fi
for name in "${targets[@]}"; do
  if is_engine "$name"; then features=(--features engine); fi
done

began=$SECONDS
RUSTFLAGS="${flags[*]}" cargo build --quiet --locked --release --target "$host" "${features[@]}" \
  $(printf -- '--bin %s ' "${targets[@]}")
echo "built ${#targets[@]} targets in $((SECONDS - began)) s"
[ "$seconds" != build ] || exit 0

run_target() {
  local name=$1 log=logs/$1.log code=0
  mkdir -p logs "corpus/$name" "artifacts/$name"
  timeout --kill-after=10 $((seconds + 120)) "$bin/$name" "corpus/$name" \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="artifacts/$name/" >"$log" 2>&1 || code=$?
  if [ "$code" -ne 0 ]; then
    echo "FAILED $name, exit code $code; the log is fuzz/$log"
    grep -E 'panicked at|^assertion|left:|right:|ERROR: libFuzzer|Test unit written' "$log" || tail -5 "$log"
    # The only code at which xargs starts nothing more.
    exit 255
  fi
  local runs coverage
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -1)
  printf '%-20s %9s runs  %s\n' "$name" "$runs" "$coverage"
}
export -f run_target
export seconds bin

began=$SECONDS
if printf '%s\n' "${targets[@]}" | xargs -P "${FUZZ_JOBS:-2}" -I{} bash -c 'run_target {}'; then
  echo "no target failed, $seconds s each, $((SECONDS - began)) s in all"
else
  echo "a target failed"
  exit 1
fi
