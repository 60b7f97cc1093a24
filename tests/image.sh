#!/usr/bin/env bash
# Builds the image and runs it as docs/operations.md says: read-only, without capabilities, as user 65532, with its
# memory limited, and Savio's sandbox in a second container. Fails at the first thing that a user would not expect.
#
# Usage: tests/image.sh [--short] [PROGRAM]      (default: target/release/savio-relay)
#
# The image has PROGRAM, as a release builds it. Without --short the program is compiled in a container too, where an
# image registry can be reached. Works as root and needs Debian's packages, of which it installs what is missing.
set -euo pipefail
# shellcheck source=tests/containers.sh
source "$(dirname "${BASH_SOURCE[0]}")/containers.sh"
short=
if [[ "${1:-}" == --short ]]; then
    short=yes
    shift
fi
program=$(realpath "${1:-$root/target/release/savio-relay}")
# Podman writes a file here when the kernel ends a process for its memory.
cd "$work"

image=localhost/savio-relay
begin_containers
find_runtime_image
build_relay_image "$program" "$image"
settle_engine "$image"
say "built, $(podman image inspect --format '{{.Size}}' "$image" | numfmt --to=iec) in all"

confined=(--read-only --cap-drop ALL --security-opt no-new-privileges)
grace=$(sed -n 's/^ *stop_grace_period: *\([0-9]*\)s$/\1/p' "$root/dist/compose.yaml" | head -1)
memory_mib=$(grep -oP 'A container needs \K[0-9]+(?= MiB)' "$root/docs/limits.md")
secret=a-secret-of-the-image-test
relay_settings=(--env "TYPEFORM_SECRET=$secret" --env SAVIO_API_TOKEN=a-token-of-the-image-test
    --env SAVIO_RELAY_SAVIO__BASE_URL=http://savio:9090/app/api/)

run_once() { podman run --rm --timeout 60 --network none "${confined[@]}" "$@"; }
inside() { podman exec relay savio-relay "$@"; }

says() {
    [[ $output == *"$1"* ]] || { printf '%s\n' "$output"; fail "should say: $1"; }
}

start_relay() {
    start --name relay --network relay --publish 127.0.0.1:8080:8080 --memory "${memory_mib}m" "${confined[@]}" \
        "${relay_settings[@]}" "$@" "$image"
}

# --- Without a volume ---

output=$(run_once "$image" --version)
[[ $output == "$("$program" --version)" ]] || fail "the image should have the program: $output"
output=$(run_once "$image" demo --once)
says 'typeform          form_response        -> feedback'
say "demo: $(grep -c -- '->' <<<"$output") samples arrived in the sandbox"

# --- A volume that belongs to somebody else ---

mkdir "$work/foreign"
status=0
output=$(run_once --volume "$work/foreign:/data" "${relay_settings[@]}" "$image" 2>&1) || status=$?
[[ $status != 0 ]] || fail 'a folder of root should be refused as /data'
says 'chown 65532 /data'
say "a folder of root: $output"
chown 65532:65532 "$work/foreign"
start --name relay --network none "${confined[@]}" --volume "$work/foreign:/data" "${relay_settings[@]}" "$image"
until_health_is relay healthy
stop_cleanly relay "$grace"
podman rm relay >/dev/null

# --- A new volume, with the memory of docs/limits.md, and Savio's sandbox ---

podman network create relay >/dev/null
start --name savio --network relay "${confined[@]}" "$image" sandbox --listen 0.0.0.0:9090
start_relay --volume data:/data
until_health_is relay healthy
output=$(podman inspect --format '{{json .State.Health}}' relay)
says '"Output":"ready"'
output=$(podman exec relay savio-relay doctor || true)
says 'only this user can read /data/relay.db'
says 'a relay runs on 0.0.0.0:8080, and is ready'
says 'checked: '
[[ $output != *WRONG* ]] || { printf '%s\n' "$output"; fail 'doctor should find nothing wrong'; }
say "doctor in the container: $(tail -1 <<<"$output")"
inside send typeform >/dev/null 2>&1 || fail "a sample should be accepted"
until_true 'podman exec relay savio-relay events list --state delivered | grep typeform'

pid=$(podman inspect --format '{{.State.Pid}}' relay)
[[ $(awk '$2 == "/" { print $4 }' "/proc/$pid/mounts") == ro,* ]] || fail 'the root of the file system should be read-only'
grep -q '^CapEff:\s0*$' "/proc/$pid/status" || fail 'the relay should have no capability'
grep -q '^NoNewPrivs:\s1$' "/proc/$pid/status" || fail 'the relay should get no new privilege'
[[ $(stat --format %u "/proc/$pid") == 65532 ]] || fail 'the relay should run as user 65532'

# --- Memory under load, and a stop during it ---

# The limit in force and whether it was hit, of control groups v1 or v2.
memory_group() {
    local name=$1 v1=$2 path
    path=$(sed -n 's/^[0-9]*:memory://p' "/proc/$pid/cgroup")
    if [[ -n $path && -e /sys/fs/cgroup/memory$path/$v1 ]]; then
        cat "/sys/fs/cgroup/memory$path/$v1"
    else
        cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")/$name"
    fi
}
[[ $(memory_group memory.max memory.limit_in_bytes) == $((memory_mib << 20)) ]] || fail "$memory_mib MiB should be the limit"

load() { in_network python3 "$root/tests/container_load.py" http://127.0.0.1:8080/hooks/typeform "$secret" "$1"; }
if [[ -n $short ]]; then rounds=2; else rounds=10; fi
load "$rounds"
[[ $(podman inspect --format '{{.State.OOMKilled}} {{.State.Pid}}' relay) == "false $pid" ]] \
    || fail "the relay should not be killed for its memory: $(podman inspect --format '{{json .State}}' relay)"
peak_kib=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$pid/status")
say "memory: $((peak_kib / 1024)) MiB at the peak, of $memory_mib MiB"
until_health_is relay healthy
inside send typeform >/dev/null 2>&1 || fail 'a webhook after the load should be accepted'

# Until the relay stops: how long a number of rounds takes is up to the machine.
load until-refused >"$work/load" 2>&1 &
until_true '(( $(nsenter --net --target "$pid" ss -Htn state established "sport = :8080" | wc -l) >= 10 ))'
stop_cleanly relay "$grace"
wait "$!" || { cat "$work/load"; fail 'the load should end in answers and closed connections only'; }
podman rm relay >/dev/null

# --- The same volume again ---

start_relay --volume data:/data
until_health_is relay healthy
until_true '! podman exec relay savio-relay events list --state queued | grep typeform'
output=$(inside destinations list)
says sending
podman kill --signal HUP relay >/dev/null
until_true 'podman logs relay 2>&1 | grep -i reload'
stop_cleanly relay "$grace"
podman rm relay >/dev/null
say 'stopped during the load with status 0, and the same volume delivered what was left'

# --- Health that fails, with its reason ---

relay_settings=(--env SAVIO_API_TOKEN=a-token-of-the-image-test)
start_relay --volume data:/data
until_health_is relay unhealthy
output=$(podman inspect --format '{{(index .State.Health.Log 0).Output}}' relay)
says 'not ready: no source is live'
say "unhealthy: $output"
podman rm --force --time 0 relay >/dev/null

# --- The program compiled in a container ---

cd "$root"
if [[ -z $short ]]; then
    rust_image=$(sed -n 's/^ARG RUST_IMAGE=//p' Dockerfile)
    if timeout 600 buildah pull "$rust_image" >"$work/pull" 2>&1; then
        buildah bud --format docker --layers --build-arg BUILD_COMMIT=0123456789ab --build-arg BUILD_DATE=2026-11-30 \
            --build-arg "RUNTIME_IMAGE=$runtime_image" \
            --tag localhost/compiled . || fail 'the image should build from the sources'
        run_once localhost/compiled --version | grep 0123456789ab || fail '--version should show the commit'
    else
        say "compiles what the build would get with this machine's Rust, since $rust_image cannot be had"
        printf 'FROM scratch\nCOPY . /src\n' >"$work/Context"
        container=$(buildah bud --quiet --ignorefile .dockerignore --file "$work/Context" . | xargs buildah from)
        cp -r "$(buildah mount "$container")/src" "$work/src"
        cargo check --quiet --locked --bin savio-relay --manifest-path "$work/src/Cargo.toml" --target-dir target \
            || fail 'the build context should have all that the program is made of'
    fi
fi
say "the image holds what docs/operations.md says of it, in $SECONDS s"
