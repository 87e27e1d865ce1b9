# Programs of the newest packages there are, beside the ones of this system; sourced by checks that compare with them.
# Packages are fetched from the distribution's own mirror and unpacked below .cache; nothing on the system changes.
#   newest PACKAGE PROGRAM    sets `newest` to a script that runs the program of the package: its path in it

newest() {
    local cache="${PWD}/.cache/newest"
    local program="$cache/$1/$2" libraries loader
    newest="$cache/bin/${2##*/}"
    [ -x "$newest" ] && return
    mkdir -p "$cache/bin" "$cache/apt/sources" "$cache/apt/lists/partial" "$cache/apt/archives/partial"
    if [ -f /etc/apt/sources.list.d/debian.sources ]; then
        sed -e '/^$/,$d' -e '/^#/d' -e 's/^Suites:.*/Suites: sid/' /etc/apt/sources.list.d/debian.sources \
            > "$cache/apt/sources/sid.sources"
    else
        grep -m 1 '^deb ' /etc/apt/sources.list | sed -E 's/^(deb( \[[^]]*\])? [^ ]+) .*/\1 sid main/' \
            > "$cache/apt/sources/sid.list"
    fi
    local options=(
        -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$cache/apt/sources"
        -o "Dir::State::lists=$cache/apt/lists" -o "Dir::Cache=$cache/apt" -o "APT::Sandbox::User=root"
    )
    (
        cd "$cache/apt"
        [ -n "$(ls lists/*Packages* 2>/dev/null)" ] || apt-get "${options[@]}" update -q
        [ -x "$program" ] || { apt-get "${options[@]}" download -q "$1" && dpkg -x "$1"_*.deb "$cache/$1"; }
        # Where the C library here is too old for it, it runs on the one from the same suite.
        if ! "$program" --version >/dev/null 2>&1 && [ ! -d "$cache/libc" ]; then
            apt-get "${options[@]}" download -q libc6 && dpkg -x libc6_*.deb "$cache/libc"
        fi
        rm -f ./*.deb
    ) >&2
    if "$program" --version >/dev/null 2>&1; then
        printf '#!/bin/sh\nexec "%s" "$@"\n' "$program" > "$newest"
    else
        loader="$(find "$cache/libc" -name 'ld-linux-*.so.*' | head -n 1)"
        libraries="$(dirname "$loader")"
        printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' "$loader" "$libraries" "$program" > "$newest"
    fi
    chmod +x "$newest"
}
