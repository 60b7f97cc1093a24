#!/usr/bin/env bash
# A fresh Debian in a folder, for the scripts that install the package. They source this file, and set `root` before.

# What the walks need beside Debian's minimum: systemd, which every Debian has; a reverse proxy; curl and openssl for a
# tool that sends webhooks; ip for the network.
debian_packages=systemd-sysv,dbus,ca-certificates,caddy,curl,iproute2,openssl,procps

# Makes the Debian (or Ubuntu) that is copied for each run, and sets `debian_base` to its path. It is kept below target/.
# Its version is that of this machine, since a program of this machine need not run on an older one.
make_debian_base() {
    local suite
    suite=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-bookworm}")
    debian_base=$root/target/debian/$suite
    if [[ -e $debian_base.packages && $(<"$debian_base.packages") == "$debian_packages" ]]; then
        return
    fi
    printf 'making a Debian in target/debian (about a minute, once)\n'
    rm -rf "$debian_base" "$debian_base.packages"
    mkdir -p "$root/target/debian"
    # Ubuntu has Caddy in universe, and for Debian the name means nothing.
    if ! debootstrap --variant=minbase --components=main,universe --include="$debian_packages" "$suite" "$debian_base" \
        >"$debian_base.log" 2>&1; then
        tail -20 "$debian_base.log" >&2
        printf 'debootstrap failed: the lines above are from %s\n' "$debian_base.log" >&2
        exit 1
    fi
    rm -rf "$debian_base"/var/cache/apt/archives/*.deb "$debian_base"/var/lib/apt/lists/*
    # debootstrap writes no hosts, and copies the way to the names of this machine's network.
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$debian_base/etc/hosts"
    rm -f "$debian_base/etc/resolv.conf"
    printf '%s' "$debian_packages" >"$debian_base.packages"
}

# Makes a folder, `walk_folder`, which is removed at the end of the script, and ends by then what `run_walk` runs.
begin_walk() {
    walk_folder=$(mktemp -d) walk=""
    trap end_walk EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# Runs a program for at most so many seconds. In the background, since bash acts on a signal only once the program in the
# foreground has ended.
run_walk() {
    local ended=0
    timeout --kill-after=2 "$@" </dev/null &
    walk=$!
    wait "$walk" || ended=$?
    walk=""
    return "$ended"
}

end_walk() {
    local attempt
    if [[ -n $walk ]]; then
        kill "$walk" || true
        wait "$walk" || true
    fi
    # What was killed with its namespaces may write for a moment more.
    for (( attempt = 0; attempt < 100; attempt++ )); do
        if rm -rf "$walk_folder" 2>/dev/null; then return; fi
        sleep 0.1
    done
    printf '%s could not be removed\n' "$walk_folder" >&2
}

# Exits with words if a program is missing that the script needs, or if it is not run by root.
require_root_and() {
    if [[ $(id -u) != 0 ]]; then
        printf '%s must be run by root, for debootstrap and chroot\n' "$0" >&2
        exit 1
    fi
    local program
    for program in "$@"; do
        if ! command -v "$program" >/dev/null; then
            printf '%s is not installed, and %s needs it\n' "$program" "$0" >&2
            exit 1
        fi
    done
}
