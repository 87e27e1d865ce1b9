#!/usr/bin/env bash
# The template and the functions, as far as a machine without an account can tell. Installs what it needs.
#   tests/aws/run.sh short   about ten minutes: linters, then every flow on an emulator, with a debug build
#   tests/aws/run.sh full    also what `sam build` makes: sizes, start-up, memory, both processors
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mode="${1:-short}"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need python3 python3
need curl curl
need strip binutils
python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
if [ "${#packages[@]}" -gt 0 ]; then
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${packages[@]}"
fi

# Three environments, since their wishes contradict each other: the emulator and sam; the linter; the command line.
tools="${MIHARI_AWS_TOOLS:-$PWD/.cache/aws}"
environment() {
    local folder="$tools/$1"
    shift
    [ -e "$folder/complete" ] && return
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
    touch "$folder/complete"
}
environment sam 'ministack[full]==1.5.33' cbor2 aws-sam-cli==1.167.0 cargo-lambda==1.9.2 ziglang==0.17.1 cfn-lint==1.53.3
environment checkov checkov==3.3.30
environment cli awscli==1.46.3

export SAM_CLI_TELEMETRY=0
"$tools/sam/bin/python" tests/aws/lint.py "$tools/sam/bin" "$tools/checkov/bin/checkov"

# With the tests, so that all but the last link is what `cargo test --workspace` has built already: alone, the programs
# would want the SDKs with other features.
cargo build --workspace --bins --tests
target="${CARGO_TARGET_DIR:-target}/debug"
"$tools/sam/bin/python" tests/aws/flows.py --tools "$tools" --target "$target" --mode "$mode"

if [ "$mode" = full ]; then
    "$tools/sam/bin/python" tests/aws/footprint.py --tools "$tools"
fi
