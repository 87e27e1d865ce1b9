#!/usr/bin/env bash
# Mihari beside its peers and in a real browser. Installs what it needs.
#   tests/e2e/run.sh short   about seven minutes
#   tests/e2e/run.sh full    ten minutes of real traffic
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mode="${1:-short}"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need prometheus prometheus
need prometheus-node-exporter prometheus-node-exporter
need amtool prometheus-alertmanager
need vmagent victoria-metrics
need vmalert victoria-metrics
need chromium chromium
need python3 python3
need node nodejs
need npm npm
[ -d /usr/share/fonts/opentype/noto ] || packages+=(fonts-noto-cjk)
if [ "${#packages[@]}" -gt 0 ]; then
    as_root apt-get update -q
    # No service of these packages is to run on this machine: only their programs are used.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${packages[@]}"
fi

# With the tests: all but the last link is what `cargo test --workspace` has built already.
cargo build --workspace --bins --tests
mihari="${CARGO_TARGET_DIR:-target}/debug/mihari"
cache="${PWD}/.cache/e2e"
mkdir -p "$cache"
[ -d "$cache/node_modules/axe-core" ] || npm install --no-audit --no-fund --silent --prefix "$cache" playwright-core axe-core

python3 tests/e2e/amtool.py --mihari "$mihari"
python3 tests/e2e/alerts.py --mihari "$mihari"
if [ "$mode" = full ]; then
    # The same beside the newest there are, which speak of alerts in words of their own day.
    . tests/newest.sh
    newest prometheus-alertmanager usr/bin/prometheus-alertmanager; alertmanager="$newest"
    newest prometheus-alertmanager usr/bin/amtool; amtool="$newest"
    newest prometheus usr/bin/prometheus; prometheus="$newest"
    newest victoria-metrics usr/bin/vmalert; vmalert="$newest"
    python3 tests/e2e/alerts.py --mihari "$mihari" --alertmanager "$alertmanager" --amtool "$amtool" \
        --prometheus "$prometheus" --vmalert "$vmalert"
    python3 tests/e2e/amtool.py --mihari "$mihari" --amtool "$amtool"
fi
python3 tests/e2e/peers.py --mihari "$mihari" --mode "$mode"
NODE_PATH="$cache/node_modules" python3 tests/e2e/browser.py --mihari "$mihari" --screenshots "$cache/screenshots"
