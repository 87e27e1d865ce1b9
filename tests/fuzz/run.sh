#!/usr/bin/env bash
# Fuzzes PromQL with libFuzzer on the stable toolchain: LLVM's own pass counts what is reached, no sanitizer is linked.
#   tests/fuzz/run.sh [seconds]      300 unless said otherwise
# It begins with the expressions of our own test scripts and with what earlier runs have found; both lie below .cache.
# A text that breaks an assertion is left in .cache/fuzz and printed, and the run fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds="${1:-300}"

found="${PWD}/.cache/fuzz"
mkdir -p "$found/promql"

# One file an expression; the first byte chooses profile and step.
number=0
while IFS= read -r expression; do
    for choice in '\000' '\002' '\005'; do
        { printf '%b' "$choice"; printf '%s' "$expression"; } > "$found/promql/script-$number"
        number=$((number + 1))
    done
done < <(sed -nE 's/^ *eval (instant at [^ ]+|range from [^ ]+ to [^ ]+ step [^ ]+) //p' shared/promql/tests/scripts/*.test)

# With a target named, what runs while building is not instrumented.
host="$(rustc -vV | sed -n 's/^host: //p')"
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks"
target="${CARGO_TARGET_DIR:-${PWD}/target}/fuzz"
cargo build --manifest-path tests/fuzz/Cargo.toml --release --locked --target "$host" --target-dir "$target"

"$target/$host/release/promql" "$found/promql" -artifact_prefix="$found/" -max_total_time="$seconds" -max_len=400 \
    -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0
