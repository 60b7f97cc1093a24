# shellcheck shell=bash
#
# For the tests of the image, of the compose file and of proxies, which read it with `source`: gives them a network and
# mounts of their own, and podman and buildah a storage and settings in $work, so that nothing of this machine's is
# touched and nothing is left behind; and builds images, out of Debian's packages where no image registry can be reached.

# Ends the script, which cannot be run on this machine. In CI nothing is left out.
leave_out() {
    printf '\n!!! LEFT OUT: %s\n' "$*" >&2
    [[ "${CI:-}" == true ]] && exit 1
    exit 0
}

# Mounts of its own: those of containers, and podman's list of addresses in use, end with the script, however it ends.
if [[ -z "${HAS_OWN_MOUNTS:-}" ]]; then
    (( EUID == 0 )) || leave_out "networks and containers are tested as root"
    HAS_OWN_MOUNTS=yes exec unshare --mount "$0" "$@"
fi
mkdir -p /run/containers /run/netns
mount -t tmpfs tmpfs /run/netns

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
# Programs of Debian's packages, shared with .ci/run.
tools=$root/target/validators/bin
namespace=savio-relay-$$
export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf

say() { printf '%s\n' "$*"; }
fail() {
    printf '\nFAILED: %s\n' "$*" >&2
    exit 1
}

is_updated=
update_packages() {
    [[ -n $is_updated ]] || apt-get -qq update
    is_updated=yes
}

install_packages() {
    say "installs $*"
    { update_packages && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"; } \
        >"$work/installed" 2>&1 || { cat "$work/installed"; leave_out "Debian's packages $* cannot be installed"; }
}

# Installs a program that is missing.
need() {
    local program=$1 package=${2:-$1}
    # Not `command -v`, which finds functions too, such as `podman` below.
    type -P "$program" >/dev/null || install_packages "$package"
}

# Extracts Debian's packages into a folder. Installing one of a server would start it.
extract_packages() {
    local folder=$1
    shift
    mkdir -p "$folder" "$work/packages"
    (
        cd "$work/packages"
        rm -f -- *.deb
        apt-get -qq download "$@" >log 2>&1 || { update_packages && apt-get -qq download "$@" >log 2>&1; } \
            || { cat log; exit 1; }
        for package in *.deb; do dpkg-deb --extract "$package" "$folder"; done
    ) || leave_out "Debian's packages $* cannot be had"
}

# Makes a program of a package of Debian's available without installing it.
need_only_program() {
    local package=$1 path=$2
    export PATH=$tools:$PATH
    command -v "${path##*/}" >/dev/null && return
    say "takes ${path##*/} out of the package $package"
    extract_packages "$work/extracted/$package" "$package"
    mkdir -p "$tools"
    cp "$work/extracted/$package/$path" "$tools/"
}

# Makes a program of PyPI available, in the version that is known to work.
need_python() {
    local package=$1 version=$2 python=${tools%/*}/python
    export PATH=$tools:$PATH
    [[ -e $tools/$package ]] && return
    say "installs $package $version of PyPI"
    python3 -c 'import ensurepip' 2>/dev/null || need pyvenv python3-venv
    mkdir -p "$tools"
    if ! { [[ -x $python/bin/pip ]] || python3 -m venv "$python"; } \
        || ! "$python/bin/pip" install --quiet --disable-pip-version-check "$package==$version"; then
        leave_out "$package of PyPI cannot be installed"
    fi
    ln -sf "../python/bin/$package" "$tools/"
}

# Podman runs in a network namespace of its own, with bridges and rules that end with it. Without systemd, it says at each
# container that it made no timer for health checks.
podman() { nsenter "--net=/run/netns/$namespace" podman "$@" 2> >(grep -v 'level=.*systemd' >&2); }
in_network() { nsenter "--net=/run/netns/$namespace" "$@"; }

# Writes the settings of podman and buildah; the arguments are further lines of [containers] and of [engine].
write_settings() {
    cat >"$CONTAINERS_CONF" <<T
[engine]
tmp_dir = "$work/libpod-run"
volume_path = "$work/volumes"
lock_type = "file"
${2:-}
[network]
network_config_dir = "$work/networks"
[containers]
${1:-}
T
}

begin_network() {
    need ip iproute2
    need curl
    need openssl
    need python3
    at_end=()
    trap end_all EXIT
    ip netns add "$namespace" || leave_out "this machine lets no network namespace be made"
    ip -n "$namespace" link set lo up
}

begin_containers() {
    begin_network
    need podman
    need buildah
    # The parts of podman's that make networks and know names in them, which Debian only recommends.
    compgen -G '/usr/lib*/podman/aardvark-dns' >/dev/null || install_packages netavark aardvark-dns
    mount -t tmpfs tmpfs /run/containers
    at_end+=(remove_containers)
    cat >"$CONTAINERS_STORAGE_CONF" <<T
[storage]
driver = "overlay"
graphroot = "$work/storage"
runroot = "$work/run"
T
    write_settings
}

# Removes all containers. One on which others depend may be refused before them.
remove_containers() {
    for _ in 1 2 3; do
        podman rm --all --force --time 0 || true
        [[ -n $(podman ps --all --quiet) ]] || return 0
    done
    printf '!!! These containers were not removed:\n%s\n' "$(podman ps --all)" >&2
    return 1
}

# Runs the command lines in at_end, the last one first.
end_all() {
    local status=$? i
    trap - EXIT
    for (( i = ${#at_end[@]} - 1; i >= 0; i-- )); do ${at_end[i]} >"$work/end" 2>&1 || cat "$work/end" >&2; done
    awk -v work="$work/" 'index($2, work) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount --lazy || true
    ip netns del "$namespace" 2>/dev/null || true
    rm -rf "$work"
    exit "$status"
}

# Makes $runtime_image: the one of the Dockerfile, or what it contains, out of Debian's packages.
find_runtime_image() {
    runtime_image=$(sed -n 's/^ARG RUNTIME_IMAGE=//p' "$root/Dockerfile")
    [[ -n $runtime_image ]] || fail 'Dockerfile should have the line ARG RUNTIME_IMAGE='
    # Outside of the namespace, which reaches nobody.
    if timeout 60 buildah pull "$runtime_image" >"$work/pull" 2>&1; then
        say "base image: $runtime_image"
        return
    fi
    say "base image: Debian's packages, since $runtime_image cannot be had: $(tail -1 "$work/pull" | sed 's/.*: //')"
    need dpkg-deb dpkg
    local base=$work/base
    extract_packages "$base" base-files ca-certificates libc6 libgcc-s1 tzdata
    mkdir -p "$base/tmp" "$base/etc/ssl/certs"
    chmod 1777 "$base/tmp"
    cat "$base"/usr/share/ca-certificates/mozilla/*.crt >"$base/etc/ssl/certs/ca-certificates.crt"
    printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin \
        >"$base/etc/passwd"
    printf '%s\n' root:x:0: nonroot:x:65532: >"$base/etc/group"
    printf 'hosts: files dns\n' >"$base/etc/nsswitch.conf"
    runtime_image=localhost/runtime
    tar -C "$base" -c . | podman import - "$runtime_image" >"$work/import" 2>&1 || fail "$(<"$work/import")"
}

# Builds the image of the relay around a program, as a release does.
build_relay_image() {
    local program=$1 image=$2 architecture
    architecture=$(dpkg --print-architecture 2>/dev/null || echo amd64)
    mkdir -p "$work/context/$architecture"
    # Without the right to execute, which uploads and downloads lose.
    install -m 644 "$program" "$work/context/$architecture/savio-relay"
    # The format of OCI has no health checks.
    buildah bud --format docker --file "$root/Dockerfile" --build-arg PROGRAM=prebuilt --build-arg "TARGETARCH=$architecture" \
        --build-arg "RUNTIME_IMAGE=$runtime_image" --tag "$image" "$work/context" >"$work/build" 2>&1 \
        || { cat "$work/build"; fail 'the image should build'; }
    rm -r "$work/context"
}

# Finds settings with which podman runs containers here: the usual ones, else what small machines need.
settle_engine() {
    local image=$1 limits='default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]'
    runs() { podman run --rm --memory 64m "$@" "$image" --version >"$work/tried" 2>&1; }
    why() { grep -v 'level=' "$work/tried" | tail -1 | cut -c 1-120; }
    if ! runs --network none; then
        say "podman does not run a container with its usual settings: $(why)"
        say '  tries it without raising limits'
        write_settings "$limits"
    fi
    if ! runs --network none; then
        say "nor so: $(why)"
        say '  tries runc in place of its usual runtime, and control groups without systemd'
        need runc
        write_settings "$limits" $'runtime = "runc"\ncgroup_manager = "cgroupfs"'
        runs --network none || leave_out "podman runs no container here: $(why)"
    fi
    if ! runs; then
        say "podman makes no network: $(why)"
        need iptables
        runs || leave_out "podman gives a container no network here: $(why)"
    fi
}

# Starts a container in the background.
start() {
    podman run --detach "$@" >"$work/started" 2>&1 || { cat "$work/started"; fail "podman run $* should start"; }
}

# Repeats a command line, in single quotes, until it succeeds, for at most 30 seconds.
until_true() {
    local deadline=$((SECONDS + 30))
    until eval "$1" >"$work/until" 2>&1; do
        (( SECONDS < deadline )) || { cat "$work/until"; fail "should succeed at last: $1"; }
        sleep 0.1
    done
}

# Does what the timer of a health check does, which needs systemd, until the container has this state.
until_health_is() {
    local name=$1 state=$2 deadline=$((SECONDS + 60))
    until [[ $(podman inspect --format '{{.State.Health.Status}}' "$name") == "$state" ]]; do
        (( SECONDS < deadline )) || { podman inspect --format '{{json .State.Health}}' "$name"; fail "$name should be $state"; }
        podman healthcheck run "$name" >/dev/null 2>&1 || true
        sleep 0.2
    done
}

# Stops a container and checks that it ended by itself, with status 0.
stop_cleanly() {
    local name=$1 grace=$2 begun=$SECONDS status
    podman stop --time "$grace" "$name" >/dev/null 2>&1
    status=$(podman inspect --format '{{.State.ExitCode}}' "$name")
    [[ $status == 0 ]] || { podman logs "$name" 2>&1 | tail -5; fail "$name should end with status 0, not $status"; }
    (( SECONDS - begun < grace )) || fail "$name should stop within $grace s"
}
