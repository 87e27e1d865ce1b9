#!/usr/bin/env bash
# PromQL beside the newest Prometheus there is: the same samples, the same generated queries, the same answers.
# Installs what it needs below .cache; nothing on the system changes.
#   tests/differential/run.sh short        a fixed slice, within a minute
#   tests/differential/run.sh full         10,000 queries of several seeds
#   tests/differential/run.sh seed N M     M queries of the seed N, to see one failure again
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mode="${1:-short}"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

command -v python3 >/dev/null || { as_root apt-get update -q; as_root apt-get install -yq --no-install-recommends python3; }

. tests/newest.sh
newest prometheus usr/bin/prometheus
"$newest" --version | head -n 1

if [ -z "${MIHARI_BINARY:-}" ]; then
    cargo build --workspace --bins --tests
    MIHARI_BINARY="${CARGO_TARGET_DIR:-target}/debug/mihari"
fi

check() {
    python3 tests/differential/differential.py --mihari "$MIHARI_BINARY" --seed "$1" --queries "$2" \
        --prometheus "$newest"
}
case "$mode" in
    short) check 1 400 ;;
    full) for seed in 1 2 3 4; do check "$seed" 2600; done ;;
    seed) check "$2" "${3:-2000}" ;;
    *) echo "short, full or seed, not $mode" >&2; exit 2 ;;
esac
