#!/usr/bin/env bash
# Makes the files of a release out of what was built for each platform: one archive for each, one with the compose file for
# the release's image, install.sh with the address of the releases in it, and SHA256SUMS. Other files, such as packages, are
# taken as they are. The same input gives the same bytes.
#
# Usage: dist/release/assemble.sh VERSION BUILT OUT RELEASES IMAGE
#   BUILT     a folder with TARGET/savio-relay for each target, and the other files
#   OUT       a new folder for the result
#   RELEASES  the address of the releases, such as https://example.com/owner/name/releases
#   IMAGE     the container image of this version, such as registry.example.com/owner/name:0.1.0
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
version=${1:?the version} built=${2:?the folder with what was built} out=${3:?a new folder}
releases=${4:?the address of the releases} image=${5:?the image}
mkdir "$out"
built=$(realpath "$built") out=$(realpath "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
epoch=$(git -C "$root" log -1 --format=%ct)

fail() {
    printf 'assemble: %s\n' "$@" >&2
    exit 1
}

# A newer glibc than install.sh demands would be found out by users only.
check_glibc() {
    local allowed newest
    allowed=$(sed -n 's/^glibc_min=//p' "$root/dist/install.sh")
    newest=$(readelf --version-info --wide "$1" | grep -o 'Name: GLIBC_[0-9.]*' | sed 's/.*_//' | sort --version-sort | tail -n 1)
    [[ -n $newest ]] || fail "$1 names no version of glibc: is it a program for Linux?"
    if [[ $(printf '%s\n' "$allowed" "$newest" | sort --version-sort | tail -n 1) != "$allowed" ]]; then
        fail "$1 needs glibc $newest, and install.sh says $allowed." "Build it on an older system, or change glibc_min and the documentation."
    fi
}

# The completions are the same for all platforms: those of the program that runs here.
completions() {
    local program
    program=$built/$(uname -m)-unknown-linux-gnu/savio-relay
    [[ -f $program ]] || fail "$program is missing: the shell completions come from it."
    # Without the permission to run, as it arrives from another job of a workflow.
    install -m 755 "$program" "$work/program"
    mkdir "$work/completions"
    "$work/program" completions bash >"$work/completions/savio-relay.bash"
    "$work/program" completions zsh >"$work/completions/_savio-relay"
    "$work/program" completions fish >"$work/completions/savio-relay.fish"
}

archive() {
    local target=$1 name=savio-relay-$version-$1
    mkdir "$work/$name"
    if [[ $target == *-linux-gnu ]]; then
        check_glibc "$built/$target/savio-relay"
        # What docs/operations.md installs by hand where there is no package.
        (cd "$root" && cp --parents dist/*.{service,timer,sysusers,conf} dist/debian/{relay.toml,secrets.env,savio-relayctl} "$work/$name/")
    fi
    install -m 755 "$built/$target/savio-relay" "$work/$name/"
    install -m 644 "$root"/{README.md,LICENSE,CHANGELOG.md,relay.example.toml} "$work/$name/"
    cp -r "$work/completions" "$work/$name/"
    pack "$name"
}

# It needs no checkout: its image is the published one.
compose() {
    local name=savio-relay-$version-compose
    mkdir "$work/$name"
    cp "$root"/dist/{compose.yaml,Caddyfile} "$work/$name/"
    sed "s|^#RELAY_IMAGE=.*|RELAY_IMAGE=$image|" "$root/dist/.env.example" >"$work/$name/.env.example"
    grep -qxF "RELAY_IMAGE=$image" "$work/$name/.env.example" || fail 'dist/.env.example has no line for the image.'
    sed -i '/^    # Builds the image of that name/d; /^    build: \.\.$/d' "$work/$name/compose.yaml"
    ! grep -q '^ *build:' "$work/$name/compose.yaml" || fail 'dist/compose.yaml should build its image in one way only.'
    pack "$name"
}

pack() {
    local name=$1
    tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$epoch" --format=ustar \
        -C "$work" -cf - "$name" | gzip -n9 >"$out/$name.tar.gz"
}

completions
compose
for program in "$built"/*/savio-relay; do
    archive "$(basename "$(dirname "$program")")"
done
find "$built" -maxdepth 1 -type f -exec cp {} "$out/" \;
sed "s|^releases='@RELEASES@'\$|releases='${releases%/}'|" "$root/dist/install.sh" >"$out/install.sh"
grep -qF "releases='${releases%/}'" "$out/install.sh" || fail 'dist/install.sh has no line for the address of the releases.'
(cd "$out" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
ls "$out"
