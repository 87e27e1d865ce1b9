#!/usr/bin/env bash
# The CPU that queries take here, in Debian's Prometheus and in VictoriaMetrics, on the same samples in one run.
#   tests/bench/run.sh [runs of each query, 20 unless told otherwise]
# MIHARI=PATH takes a finished binary instead of building one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need prometheus prometheus
need victoria-metrics victoria-metrics
need python3 python3
if [ "${#packages[@]}" -gt 0 ]; then
    as_root apt-get update -q
    # No service of these packages is to run on this machine: only their programs are used.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${packages[@]}"
fi

if [ -z "${MIHARI:-}" ]; then
    cargo build --release -p local
    MIHARI="${CARGO_TARGET_DIR:-target}/release/mihari"
fi
exec python3 tests/bench/compare.py --mihari "$MIHARI" --runs "${1:-20}"
