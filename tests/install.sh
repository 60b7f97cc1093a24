#!/usr/bin/env bash
# Runs dist/install.sh against releases on a local server: whole ones, changed ones, cut ones and missing ones, with several
# shells and download programs. The releases are made by the script that makes real ones, of a built program.
#
# Usage: tests/install.sh [PROGRAM]      (default: target/release/savio-relay)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$(realpath "${1:-$root/target/release/savio-relay}")

leave_out() {
    printf '!!! %s\n' "$1" >&2
    if [[ "${CI:-}" == true ]]; then exit 1; fi
}

if [[ $(uname -s) != Linux ]] || ! command -v python3 >/dev/null; then
    leave_out 'tests/install.sh needs Linux and python3: the install script is NOT TESTED'
    exit 0
fi

work=$(mktemp -d)
processes=()
end() {
    for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT
export LC_ALL=C.UTF-8
unset "${!SAVIO_RELAY_@}"

# --- releases, and a server for them ---

version=$("$program" --version | awk 'NR == 1 { print $2 }')
target=$(uname -m)-unknown-linux-gnu
archive=savio-relay-$version-$target.tar.gz

# Lays the files of a release where a forge has them: a release named as its first argument, from a folder.
site() {
    mkdir -p "$work/sites/$1/download" "$work/sites/$1/latest"
    cp -r "$2" "$work/sites/$1/download/v$version"
    ln -s "../download/v$version" "$work/sites/$1/latest/download"
}

mkdir -p "$work/built/$target"
cp "$program" "$work/built/$target/savio-relay"
"$root/dist/release/assemble.sh" "$version" "$work/built" "$work/release" https://github.com/example/example/releases ghcr.io/example/example >/dev/null
script=$work/release/install.sh
site good "$work/release"

# A release whose archive was replaced, one whose checksum was, and one without this platform.
site changed-archive "$work/release"
printf 'x' >>"$work/sites/changed-archive/download/v$version/$archive"
site changed-sums "$work/release"
sed -i "/$archive/s/^......../00000000/" "$work/sites/changed-sums/download/v$version/SHA256SUMS"
site other-platforms "$work/release"
sed -i "s/$target/riscv64-unknown-linux-gnu/" "$work/sites/other-platforms/download/v$version/SHA256SUMS"
# A release whose checksums are right, and whose program does not run.
site broken-program "$work/release"
mkdir -p "$work/broken/savio-relay-$version-$target"
head -c 4096 "$program" >"$work/broken/savio-relay-$version-$target/savio-relay"
(cd "$work/sites/broken-program/download/v$version" && chmod 755 "$work/broken"/*/savio-relay \
    && tar -czf "$archive" -C "$work/broken" "savio-relay-$version-$target" && rm SHA256SUMS && sha256sum -- * >"$work/sums" \
    && mv "$work/sums" SHA256SUMS)
# The answer with the archive ends in its middle.
site cut "$work/release"

# A certificate of this machine, which the stand-ins `curl-tls` and `wget-tls` trust below.
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=localhost \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
else
    leave_out 'openssl is not installed: the install script is NOT TESTED with https'
fi

cat >"$work/server.py" <<'PYTHON'
import functools, http.server, os, ssl, sys, threading

class Files(http.server.SimpleHTTPRequestHandler):
    # /moved/PATH leads to /PATH on the same server, and /http/PATH and /https/PATH to that of the one without and with TLS.
    def do_GET(self):
        first, _, path = self.path[1:].partition("/")
        servers = {"moved": "", "http": f"http://127.0.0.1:{plain.server_port}", "https": f"https://127.0.0.1:{tls.server_port}"}
        if first in servers:
            self.send_response(302)
            self.send_header("Location", f"{servers[first]}/{path}")
            self.end_headers()
        else:
            super().do_GET()

    def copyfile(self, source, target):
        if "/cut/" in self.path and self.path.endswith(".tar.gz"):
            target.write(source.read(os.fstat(source.fileno()).st_size // 2))
        else:
            super().copyfile(source, target)

    def log_message(self, text, *values):
        print(text % values, file=sys.stderr, flush=True)

folder, certificate, key = sys.argv[1:]
files = functools.partial(Files, directory=folder)
plain, tls = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), files) for _ in range(2))
if os.path.exists(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    tls.socket = context.wrap_socket(tls.socket, server_side=True)
    threading.Thread(target=tls.serve_forever, daemon=True).start()
print(plain.server_port, tls.server_port, flush=True)
plain.serve_forever()
PYTHON
mkfifo "$work/port"
python3 "$work/server.py" "$work/sites" "$work/cert.pem" "$work/key.pem" >"$work/port" 2>"$work/requests" &
processes+=($!)
read -r port tls_port <"$work/port"

# --- cases ---

# A folder with these programs only, as the PATH of a system that lacks the others.
system() {
    local folder=$work/$1 name
    shift
    mkdir -p "$folder"
    for name in "$@"; do ln -sf "$(command -v "$name")" "$folder/$name"; done
}
common=(basename cat chmod cmp cp dirname getconf grep gzip head ldd mkdir mktemp mv rm rmdir sed tail tar uname)
system curl "${common[@]}" sha256sum curl
system wget "${common[@]}" sha256sum wget
if command -v busybox >/dev/null; then
    system busybox busybox getconf ldd
    for name in "${common[@]}" sha256sum wget; do
        [[ -e $work/busybox/$name ]] || ln -s busybox "$work/busybox/$name"
    done
else
    leave_out 'busybox is not installed: the install script is NOT TESTED with its shell and its wget'
fi
system no-download "${common[@]}" sha256sum
system no-digest "${common[@]}" curl
if command -v shasum >/dev/null; then
    system shasum "${common[@]}" curl shasum perl
fi

# Writes a program into a folder for the PATH, in place of a system that is not at hand.
stand_in() {
    mkdir -p "$work/$1"
    printf '#!/bin/sh\n%s\n' "$3" >"$work/$1/$2"
    chmod 755 "$work/$1/$2"
}
# shellcheck disable=SC2016 # the stand-in reads its argument, not this script
{
    stand_in riscv uname 'case $1 in -m) echo riscv64;; *) echo Linux;; esac'
    stand_in freebsd uname 'case $1 in -m) echo amd64;; *) echo FreeBSD;; esac'
    stand_in old-glibc getconf 'case $1 in LONG_BIT) echo 64;; *) echo glibc 2.31;; esac'
    stand_in musl getconf 'case $1 in LONG_BIT) echo 64;; *) exit 1;; esac'
    stand_in musl ldd 'echo "musl libc (x86_64)" >&2; exit 1'
    stand_in 32-bit getconf 'case $1 in LONG_BIT) echo 32;; *) echo glibc 2.36;; esac'
}
# GitHub's client, which confirms what the file `confirmed` says.
stand_in github gh "case \"\$*\" in *--help | 'auth status') exit 0;; esac
echo \"\$*\" >>'$work/gh'
[ -e '$work/confirmed' ] || { echo 'no attestations found' >&2; exit 1; }"

# They know the certificate of this machine.
stand_in curl-tls curl "exec '$(command -v curl)' --cacert '$work/cert.pem' \"\$@\""
stand_in wget-tls wget "exec '$(command -v wget)' --ca-certificate='$work/cert.pem' \"\$@\""

home=$work/home prefix=$home/.local output="" status=0 what=""

fail() {
    printf '%s\n\nFAILED: %s (%s)\nIt ended with status %s and the output above, and %s.\n' "$output" "$what" "${shell[*]}" "$status" "$1" >&2
    exit 1
}

# Runs the script in an empty home, with a PATH of folders of $work.
run() {
    local path="" folder
    what=$1
    for folder in $2; do path=$path:$work/$folder; done
    shift 2
    printf '%s: %s\n' "${shell[*]}" "$what"
    status=0
    env -i HOME="$home" PATH="${path#:}" TMPDIR="$work/tmp" "${shell[@]}" "$script" "$@" >"$work/output" 2>&1 </dev/null || status=$?
    output=$(<"$work/output")
}
new_home() {
    rm -rf "$home" "$work/tmp"
    mkdir -p "$home" "$work/tmp"
}
says() { [[ $output == *"$1"* ]] || fail "should say: $1"; }
installed() {
    [[ $status == 0 ]] || fail 'should succeed'
    cmp -s "$program" "$prefix/bin/savio-relay" || fail "should install the program as $prefix/bin/savio-relay"
    [[ $(ls -A "$prefix/bin") == savio-relay && -z $(ls -A "$work/tmp") ]] || fail 'should leave nothing else behind'
}
refused() {
    [[ $status == 1 ]] || fail 'should end with status 1'
    says "$1"
    says 'Nothing was installed or changed.'
    [[ -z $(ls -A "$home") && -z $(ls -A "$work/tmp") ]] || fail 'should leave nothing behind'
}

url=http://127.0.0.1:$port

installs() {
    new_home
    run 'the latest version, with curl' curl --url "$url/good"
    installed
    says "savio-relay $version is installed: $prefix/bin/savio-relay"
    says 'Verified: checksum'
    says 'savio-relay demo'
    says "export PATH=\"$prefix/bin:\$PATH\""
    run 'the same again' curl --url "$url/good"
    installed
    says "savio-relay $version was installed before"

    new_home
    run 'a version, with wget' wget --url "$url/good/" --version "v$version"
    installed
    if [[ -d $work/busybox ]]; then
        new_home
        run 'with the programs of busybox' busybox --url "$url/good"
        installed
    fi
    if [[ -d $work/shasum ]]; then
        new_home
        run 'shasum in place of sha256sum' shasum --url "$url/good"
        installed
    fi

    new_home
    prefix=$home/other
    (cd "$home" && run 'another prefix, in PATH' 'home/other/bin curl' --url "$url/good" --prefix other && installed \
        && [[ $output != *'export PATH'* ]] || fail 'should know that the folder is in PATH')
    prefix=$home/.local
}

upgrades() {
    new_home
    mkdir -p "$prefix/bin"
    # Bytes after its end change the file and not the program.
    { cat "$program"; echo older; } >"$prefix/bin/savio-relay"
    chmod 755 "$prefix/bin/savio-relay"
    local before
    before=$(sha256sum <"$prefix/bin/savio-relay")

    run 'a changed archive over an installed version' curl --url "$url/changed-archive"
    [[ $status == 1 && $(sha256sum <"$prefix/bin/savio-relay") == "$before" ]] || fail 'should leave the old program'
    run 'a program that does not run over an installed version' curl --url "$url/broken-program"
    [[ $status == 1 && $(sha256sum <"$prefix/bin/savio-relay") == "$before" ]] || fail 'should leave the old program'
    [[ $(ls -A "$prefix/bin") == savio-relay ]] || fail 'should leave nothing else behind'

    "$prefix/bin/savio-relay" sandbox --listen 127.0.0.1:0 >"$work/running" 2>&1 &
    local relay=$!
    processes+=("$relay")
    run 'over a version that is running' curl --url "$url/good"
    installed
    says "It replaces $version"
    says 'make a backup'
    kill -0 "$relay" || fail 'should let the running program go on'
    [[ $(readlink "/proc/$relay/exe") == *"(deleted)" ]] || fail 'should have replaced the program that runs'
    kill "$relay"
}

refusals() {
    new_home
    run 'a changed archive' curl --url "$url/changed-archive"
    refused "$archive is not what the release's SHA256SUMS says"
    run 'a changed checksum' curl --url "$url/changed-sums"
    refused "expected  00000000"
    run 'a cut download, with curl' curl --url "$url/cut"
    refused "$archive could not be downloaded"
    run 'a cut download, with wget' wget --url "$url/cut"
    [[ $status == 1 && -z $(ls -A "$home") ]] || fail 'should install nothing'
    if [[ -d $work/busybox ]]; then
        run 'a cut download, with the programs of busybox' busybox --url "$url/cut"
        [[ $status == 1 && -z $(ls -A "$home") ]] || fail 'should install nothing'
    fi
    run 'a program that does not run' curl --url "$url/broken-program"
    refused 'The program does not run on this system'
    run 'no such release' curl --url "$url/nothing"
    refused "SHA256SUMS could not be downloaded"
    run 'no such version' wget --url "$url/good" --version 99.0.0
    refused "Is there a version 99.0.0 at $url/good?"
    run 'a release without this platform' curl --url "$url/other-platforms"
    refused "lists no archive for $target"

    run 'another processor' 'riscv curl' --url "$url/good"
    refused 'There is no built program for Linux on riscv64.'
    run 'another system' 'freebsd curl' --url "$url/good"
    refused 'There is no built program for FreeBSD on x86_64.'
    run '32-bit programs' '32-bit curl' --url "$url/good"
    refused 'with 32-bit programs.'
    run 'an old glibc' 'old-glibc curl' --url "$url/good"
    refused 'This system has glibc 2.31; the program needs 2.34 or newer.'
    run 'musl' 'musl curl' --url "$url/good"
    refused 'This system has no glibc'
    run 'neither curl nor wget' no-download --url "$url/good"
    refused 'Neither curl nor wget is installed.'
    run 'neither sha256sum nor shasum' no-digest --url "$url/good"
    refused 'the download cannot be verified'

    run 'no TLS' curl --url http://releases.example.com
    refused 'is not encrypted'
    run 'a version that is a path' curl --url "$url/good" --version ../v1
    refused '"../v1" is not a version.'
    run 'an unknown option' curl --url "$url/good" --root
    refused 'There is no option --root.'
    run 'an option without its value' curl --url
    refused '--url needs a value.'
    run 'a prefix below a file' curl --url "$url/good" --prefix "$program"
    refused "$program/bin could not be made"
}

https() {
    local url=https://127.0.0.1:$tls_port tool
    [[ -e $work/cert.pem ]] || return 0
    for tool in curl wget; do
        new_home
        run "https, with $tool" "$tool-tls $tool" --url "$url/moved/good"
        installed
        new_home
        run "https with a certificate that nobody knows, with $tool" "$tool" --url "$url/good"
        refused 'SHA256SUMS could not be downloaded'
        run "a redirection out of https, with $tool" "$tool-tls $tool" --url "$url/http/good"
        refused 'SHA256SUMS could not be downloaded'
        run "redirections out of https and back, with $tool" "$tool-tls $tool" --url "$url/moved/http/https/good"
        refused 'SHA256SUMS could not be downloaded'
    done
    says "it is redirected to http://127.0.0.1:$port/https/good/latest/download/SHA256SUMS, which is not encrypted"
    if [[ -d $work/busybox ]]; then
        run 'https, with the programs of busybox' busybox --url "$url/good"
        refused 'The wget of this system may not verify who answers'
        says 'Install curl or GNU wget'
    fi
}

# A file size limit refuses what a full disk would, at the same calls.
full_disks() {
    local limit
    for limit in 64 "$(( $(stat -c %s "$work/release/$archive") / 1024 + 64 ))"; do
        new_home
        what="a full disk after $limit KiB"
        printf '%s: %s\n' "${shell[*]}" "$what"
        status=0
        (trap '' XFSZ; ulimit -f "$limit"; env -i HOME="$home" PATH="$work/curl" TMPDIR="$work/tmp" "${shell[@]}" "$script" --url "$url/good") \
            >"$work/output" 2>&1 </dev/null || status=$?
        output=$(<"$work/output")
        refused "$archive could not be "
    done
}

provenance() {
    rm -f "$work/gh" "$work/confirmed"
    new_home
    run 'a provenance that GitHub does not confirm' 'github curl' --url "$url/good"
    refused 'GitHub does not confirm that example/example made'
    touch "$work/confirmed"
    run 'a provenance that GitHub confirms' 'github curl' --url "$url/good"
    installed
    says 'Verified: checksum and provenance'
    grep -q "^attestation verify .*/$archive --repo example/example\$" "$work/gh" || fail 'should verify the archive'
}

# `curl | sh`, cut at the end of each line or in its middle, in turn, and at each of the last bytes: nothing may have run.
cut_script() {
    new_home
    what='the script itself cut off, at each line'
    printf '%s: %s\n' "${shell[*]}" "$what"
    local before size length=0 line cuts=()
    before=$(wc -l <"$work/requests")
    size=$(wc -c <"$script")
    while IFS= read -r line; do
        cuts+=($((length + ${#line} / (1 + ${#cuts[@]} % 2))))
        length=$((length + ${#line} + 1))
    done < <(head -n -1 "$script")
    # Only the line end is after the last brace.
    for length in $(seq $((size - 40)) $((size - 2))); do cuts+=("$length"); done
    for length in "${cuts[@]}"; do
        head -c "$length" "$script" \
            | env -i HOME="$home" PATH="$work/curl" TMPDIR="$work/tmp" "${shell[@]}" -s -- --url "$url/good" >"$work/output" 2>&1 || true
        output=$(<"$work/output")
        [[ $output != *install.sh:* ]] || fail "should not run what is there of it: $length bytes"
    done
    output=$(tail -n 1 "$work/requests")
    [[ $(wc -l <"$work/requests") == "$before" && -z $(ls -A "$home") && -z $(ls -A "$work/tmp") ]] || fail 'should do nothing'

    printf '%s: the whole script through a pipe\n' "${shell[*]}"
    env -i HOME="$home" PATH="$work/curl" TMPDIR="$work/tmp" "${shell[@]}" -s -- --url "$url/good" <"$script" >"$work/output" 2>&1 || status=$?
    output=$(<"$work/output")
    installed
}

what='as it is in the repository' shell=(sh) status=0
output=$(sh "$root/dist/install.sh" 2>&1) || status=$?
[[ $status == 1 ]] || fail 'should end with status 1'
says 'This copy of the script is not from a release'

for name in bash dash busybox; do
    shell=("$(command -v "$name")") || continue
    if [[ $name == busybox ]]; then shell+=(sh); fi
    installs
    upgrades
    refusals
    https
    full_disks
    provenance
    cut_script
done
printf 'The install script did what it should, in %s s.\n' "$SECONDS"
