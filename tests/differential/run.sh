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

# The distribution's own mirror has newer suites: packages are fetched from there and unpacked, never installed.
cache="${PWD}/.cache/differential"
program="$cache/prometheus/usr/bin/prometheus"
loader=()
if [ ! -x "$program" ]; then
    mkdir -p "$cache/apt/sources" "$cache/apt/lists/partial" "$cache/apt/archives/partial"
    if [ -f /etc/apt/sources.list.d/debian.sources ]; then
        sed -e '/^$/,$d' -e '/^#/d' -e 's/^Suites:.*/Suites: sid/' /etc/apt/sources.list.d/debian.sources \
            > "$cache/apt/sources/sid.sources"
    else
        grep -m 1 '^deb ' /etc/apt/sources.list | sed -E 's/^(deb( \[[^]]*\])? [^ ]+) .*/\1 sid main/' \
            > "$cache/apt/sources/sid.list"
    fi
    apt_options=(
        -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$cache/apt/sources"
        -o "Dir::State::lists=$cache/apt/lists" -o "Dir::Cache=$cache/apt" -o "APT::Sandbox::User=root"
    )
    (
        cd "$cache/apt"
        apt-get "${apt_options[@]}" update -q
        apt-get "${apt_options[@]}" download -q prometheus libc6
        dpkg -x libc6_*.deb "$cache/libc"
        dpkg -x prometheus_*.deb "$cache/prometheus"
        rm -rf ./*.deb lists
    )
fi
# Where the C library here is too old for it, it runs on the one from the same suite.
if ! "$program" --version >/dev/null 2>&1; then
    libraries="$(find "$cache/libc" -name 'ld-linux-*.so.*' -printf '%h\n' | head -n 1)"
    loader=("$(find "$libraries" -name 'ld-linux-*.so.*' | head -n 1)" --library-path "$libraries")
fi
"${loader[@]}" "$program" --version | head -n 1

if [ -z "${MIHARI_BINARY:-}" ]; then
    cargo build --workspace --bins --tests
    MIHARI_BINARY="${CARGO_TARGET_DIR:-target}/debug/mihari"
fi

check() {
    python3 tests/differential/differential.py --mihari "$MIHARI_BINARY" --seed "$1" --queries "$2" \
        --prometheus "${loader[@]}" "$program"
}
case "$mode" in
    short) check 1 400 ;;
    full) for seed in 1 2 3 4; do check "$seed" 2600; done ;;
    seed) check "$2" "${3:-2000}" ;;
    *) echo "short, full or seed, not $mode" >&2; exit 2 ;;
esac
