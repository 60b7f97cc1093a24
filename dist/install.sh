#!/bin/sh
# Installs savio-relay from a release: downloads the archive for this system, verifies its checksum, and places the
# program in ~/.local/bin. Run it again to upgrade. `sh install.sh --help` lists the options.
set -eu

# Where the releases are: <releases>/download/v<version>/<file> and <releases>/latest/download/<file>. The release
# workflow writes the address into the copy of this script that it attaches to a release.
releases='@RELEASES@'

# The oldest glibc on which the programs for Linux run; the release workflow checks that they need no newer one.
glibc_min=2.34

say() { printf '%s\n' "$*"; }

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '    %s\n' "$line" >&2; done
    say 'Nothing was installed or changed.' >&2
    exit 1
}

usage() {
    cat <<'END'
Installs savio-relay, or upgrades it.

Usage: sh install.sh [--version VERSION] [--prefix FOLDER] [--url URL]

  --version VERSION  the version to install, such as 0.1.0 [default: the latest]
  --prefix FOLDER    installs FOLDER/bin/savio-relay [default: ~/.local]
  --url URL          the address of the releases, for a mirror
  --help             shows this text

It never asks for root: with a prefix such as /usr/local, run it as root.
END
}

# --- what to install, and where ---

read_options() {
    version=latest
    prefix=${HOME:+$HOME/.local}
    url=$releases
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h) usage; exit 0 ;;
            --version | --prefix | --url)
                [ -n "${2:-}" ] || fail "$1 needs a value." 'sh install.sh --help lists the options.' ;;
            *) fail "There is no option $1." 'sh install.sh --help lists the options.' ;;
        esac
        case $1 in
            --version) version=${2#v} ;;
            --prefix) prefix=$2 ;;
            --url) url=${2%/} ;;
        esac
        shift 2
    done

    case $version in
        *[!0-9A-Za-z.+-]*) fail "\"$version\" is not a version." 'A version is written as in --version 0.1.0.' ;;
    esac
    [ -n "$prefix" ] || fail 'The variable HOME is not set, so there is no ~/.local.' 'Name a folder: --prefix FOLDER.'
    case $prefix in
        /*) ;;
        *) prefix=$PWD/$prefix ;;
    esac
    bin=$prefix/bin
    check_url
}

check_url() {
    case $url in
        https://*) ;;
        # The checksums come from the same place: over plain HTTP, both could be replaced on their way.
        http://127.0.0.1[:/]* | http://localhost[:/]*) ;;
        http://*) fail "$url is not encrypted, so that the checksum would prove nothing." 'Use an address with https://.' ;;
        @*)
            fail 'This copy of the script is not from a release, and does not know where the releases are.' \
                'Use the install.sh of a release, or add --url with the address of the releases.' ;;
        *) fail "$url is not an address with https://." 'Write it as in --url https://example.com/releases.' ;;
    esac
}

# --- this system ---

find_target() {
    system=$(uname -s)
    machine=$(uname -m)
    case $machine in
        x86_64 | amd64) machine=x86_64 ;;
        aarch64 | arm64) machine=aarch64 ;;
    esac
    # A 32-bit userland on a 64-bit kernel, as on many Raspberry Pis.
    if [ "$system" = Linux ] && [ "$(getconf LONG_BIT 2>/dev/null)" = 32 ]; then
        machine="$machine with 32-bit programs"
    fi
    # A terminal that is emulated on a Mac with Apple silicon reports the other processor.
    if [ "$system" = Darwin ] && [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" = 1 ]; then
        machine=aarch64
    fi
    case $system/$machine in
        Linux/x86_64 | Linux/aarch64)
            target=$machine-unknown-linux-gnu
            check_glibc ;;
        Darwin/x86_64 | Darwin/aarch64) target=$machine-apple-darwin ;;
        *)
            fail "There is no built program for $system on $machine." \
                'It can be built from source: cargo build --release in the repository.' ;;
    esac
}

check_glibc() {
    # "glibc 2.36", or "ldd (Debian GLIBC 2.36-9+deb12u10) 2.36"; musl knows neither.
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || glibc=$(ldd --version 2>/dev/null | head -n 1)
    glibc=${glibc##* }
    case $glibc in
        [0-9]*.[0-9]*) ;;
        *)
            fail 'This system has no glibc (Alpine and others have musl), which the program needs.' \
                'Use the container image, or build from source: cargo build --release in the repository.' ;;
    esac
    if [ "${glibc%%.*}" -lt "${glibc_min%%.*}" ] || {
        [ "${glibc%%.*}" -eq "${glibc_min%%.*}" ] && [ "$(minor "$glibc")" -lt "$(minor "$glibc_min")" ]
    }; then
        fail "This system has glibc $glibc; the program needs $glibc_min or newer." \
            'Such systems are Debian 12, Ubuntu 22.04, Fedora 35, RHEL 9, and newer ones.' \
            'Use the container image, or build from source: cargo build --release in the repository.'
    fi
}

# Prints 36 of 2.36 and of 2.36.9000.
minor() {
    minor=${1#*.}
    say "${minor%%.*}"
}

check_tools() {
    if command -v curl >/dev/null; then
        downloader=curl
    elif command -v wget >/dev/null; then
        downloader=wget
        check_wget
    else
        fail 'Neither curl nor wget is installed.' 'Install one of them, and run this again.'
    fi
    if command -v sha256sum >/dev/null; then
        digester=sha256sum
    elif command -v shasum >/dev/null; then
        digester='shasum -a 256'
    else
        fail 'Neither sha256sum nor shasum is installed, so the download cannot be verified.' \
            'Install coreutils (sha256sum), and run this again.'
    fi
}

# GNU's verifies certificates. That of busybox may not, depending on how it was built.
check_wget() {
    if wget --version >/dev/null 2>&1; then
        # By default, it tries 20 times. Its log has the answers' headers, for `stays_in_tls`.
        wget_options='-nv -S --tries=3 --timeout=60'
        return
    fi
    # Without options: with a timeout (-T), some versions of it crash. It tries once.
    wget_options=
    case $url in
        https://*)
            fail 'The wget of this system may not verify who answers, so that the checksum would prove nothing.' \
                'Install curl or GNU wget, and run this again.' ;;
    esac
}

check_folder() {
    # The nearest folder that exists is where the others would be made.
    existing=$bin
    while [ ! -d "$existing" ]; do existing=$(dirname "$existing"); done
    [ -w "$existing" ] || fail "You may not write to $existing." 'Choose another --prefix, or run this as root.'
    [ ! -d "$bin/savio-relay" ] || fail "$bin/savio-relay is a folder." 'Move it away, or choose another --prefix.'
}

# --- download and verify ---

# Downloads an address into the temporary folder; the second argument says what to do if that fails.
download() {
    "with_$downloader" "$1" "$work/$(basename "$1")" 2>"$work/error" </dev/null \
        || fail "$1 could not be downloaded ($(tail -n 1 "$work/error"))." "$2"
}

with_curl() {
    # Neither the address nor a redirection may leave TLS.
    case $1 in
        https://*) tls='--proto =https --tlsv1.2' ;;
        *) tls= ;;
    esac
    # shellcheck disable=SC2086 # several options, or none
    curl -fsSL $tls --retry 2 --connect-timeout 20 --speed-limit 1 --speed-time 60 -o "$2" "$1"
}

with_wget() {
    # shellcheck disable=SC2086 # several options, or none
    wget $wget_options -O "$2" "$1" || return
    case $1 in
        https://*) stays_in_tls ;;
    esac
}

# GNU wget follows a redirection out of TLS, and has no option against that.
stays_in_tls() {
    outside=$(grep -iE '^ *Location:[[:space:]]*[a-z][a-z0-9+.-]*:' "$work/error" \
        | grep -ivE '^ *Location:[[:space:]]*https:' | head -n 1)
    [ -n "$outside" ] || return 0
    # The last line of the log is what `download` shows.
    say "it is redirected to ${outside#*: }, which is not encrypted" >&2
    return 1
}

# Finds the archive of this system in the release's SHA256SUMS: `archive`, `digest` and `version`.
find_archive() {
    if [ "$version" = latest ]; then
        from=$url/latest/download
        advice="Is there a release at $url yet? If so, check the network, and run this again."
    else
        from=$url/download/v$version
        advice="Is there a version $version at $url? If so, check the network, and run this again."
    fi
    download "$from/SHA256SUMS" "$advice"
    line=$(grep -E "^[0-9a-f]{64} [ *]savio-relay-[0-9A-Za-z.+-]+-$target\.tar\.gz\$" "$work/SHA256SUMS") || line=
    case $line in
        '') fail "The SHA256SUMS of this release lists no archive for $target." "It is at $from." ;;
        *"
"*) fail "The SHA256SUMS of this release lists several archives for $target." "It is at $from." ;;
    esac
    digest=${line%% *}
    archive=${line#*savio-relay-}
    found=${archive%-"$target".tar.gz}
    archive=savio-relay-$archive
    if [ "$version" != latest ] && [ "$version" != "$found" ]; then
        fail "The SHA256SUMS of version $version is that of $found." "It is at $from."
    fi
    version=$found
}

verify() {
    actual=$($digester <"$work/$archive")
    actual=${actual%% *}
    if [ "$actual" != "$digest" ]; then
        fail "$archive is not what the release's SHA256SUMS says; it may have been tampered with." \
            "expected  $digest" "received  $actual" 'Run this again; if it repeats, report it to the project.'
    fi
    verify_provenance
}

# With GitHub's client, verifies as well that the project's release workflow made the archive.
verify_provenance() {
    verified=checksum
    repository=${releases#https://github.com/}
    repository=${repository%/releases}
    case $repository in @* | *:*) return 0 ;; esac
    gh attestation verify --help >/dev/null 2>&1 || return 0
    gh auth status >/dev/null 2>&1 || return 0
    if ! gh attestation verify "$work/$archive" --repo "$repository" >"$work/error" 2>&1 </dev/null; then
        fail "GitHub does not confirm that $repository made $archive:" "$(tail -n 3 "$work/error")" \
            'Without network, try again; otherwise report it to the project.'
    fi
    verified='checksum and provenance'
}

# --- install ---

unpack() {
    folder=savio-relay-$version-$target
    tar -xzf "$work/$archive" -C "$work" "$folder/savio-relay" 2>"$work/error" </dev/null \
        || fail "$archive could not be unpacked ($(tail -n 1 "$work/error"))." 'Is the disk full?'
    program=$work/$folder/savio-relay
}

# Sets `previous` to the version that was there before, if any.
install_program() {
    previous=
    if [ -e "$bin/savio-relay" ]; then
        previous=$("$bin/savio-relay" --version 2>/dev/null </dev/null | head -n 1) || previous=
        previous=${previous:-an older program}
    fi
    mkdir -p "$bin" 2>"$work/error" || fail "$bin could not be made ($(tail -n 1 "$work/error"))." 'Choose another --prefix.'
    # Beside its place, so that the last step is one rename: a running relay keeps the program that it has open, and
    # a full disk leaves the old program whole.
    staged=$bin/.savio-relay.$$
    if ! { cp "$program" "$staged" && chmod 755 "$staged"; } 2>"$work/error"; then
        fail "$bin/savio-relay could not be written ($(tail -n 1 "$work/error"))." 'Make room, or choose another --prefix.'
    fi
    "$staged" --version >/dev/null 2>"$work/error" </dev/null \
        || fail "The program does not run on this system ($(tail -n 1 "$work/error"))." \
            'Use the container image, or build from source: cargo build --release in the repository.'
    if cmp -s "$staged" "$bin/savio-relay"; then
        previous=same
        return
    fi
    mv -f "$staged" "$bin/savio-relay" 2>"$work/error" \
        || fail "$bin/savio-relay could not be replaced ($(tail -n 1 "$work/error"))." 'Choose another --prefix.'
}

report() {
    case $previous in
        same) say "savio-relay $version was installed before: $bin/savio-relay" ;;
        *) say "savio-relay $version is installed: $bin/savio-relay" ;;
    esac
    say "Verified: $verified"
    case $previous in
        same) ;;
        '')
            say 'See it work:       savio-relay demo'
            say 'Connect a source:  savio-relay init typeform   (in an empty folder)' ;;
        *)
            say "It replaces ${previous#savio-relay }. A running relay goes on with the old program until you"
            say 'restart it. Before that, make a backup (savio-relay backup FILE) and read the changelog.' ;;
    esac
    first=$(command -v savio-relay) || first=
    case $first in
        "$bin/savio-relay") ;;
        '')
            say "To run it by its name, add this line to your shell's profile:"
            say "    export PATH=\"$bin:\$PATH\"" ;;
        *) say "Attention: savio-relay runs $first, since that is before $bin in PATH." ;;
    esac
}

clean_up() {
    rm -rf "$work"
    [ -z "$staged" ] || rm -f "$staged"
    # Folders that this run made, if it ended without a program in them.
    folder=$bin
    while [ "$folder" != "$existing" ] && rmdir "$folder" 2>/dev/null; do folder=$(dirname "$folder"); done
}

main() {
    read_options "$@"
    find_target
    check_tools
    check_folder
    staged=
    work=$(mktemp -d 2>/dev/null) || fail 'No folder for temporary files could be made.' 'Set TMPDIR to a folder.'
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' HUP TERM

    find_archive
    download "$url/download/v$version/$archive" 'Check the network and the space on the disk, and run this again.'
    verify
    unpack
    install_program
    report
}

# The braces make a script that was cut off while it was downloaded a syntax error: nothing of it runs.
{
    main "$@"
}
