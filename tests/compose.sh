#!/usr/bin/env bash
# Starts dist/compose.yaml as docs/operations.md says, with certificates of Caddy's own, and posts webhooks to it by https
# from an address of its own: they arrive, their bodies untouched and with the sender's address, and nothing else is
# public. Fails at the first thing that a user would not expect.
#
# Usage: tests/compose.sh [PROGRAM]      (default: target/release/savio-relay)
#
# Works as root and needs Debian's packages and PyPI, of which it installs what is missing. Without an image registry,
# Caddy is Debian's.
set -euo pipefail
# shellcheck source=tests/containers.sh
source "$(dirname "${BASH_SOURCE[0]}")/containers.sh"
program=$(realpath "${1:-$root/target/release/savio-relay}")
cd "$root"
# shellcheck source=tests/proxy_checks.sh
source "$root/tests/proxy_checks.sh"

need openssl
need_python check-jsonschema 0.39.0
need_python podman-compose 1.6.0
check-jsonschema --builtin-schema vendor.compose-spec dist/compose.yaml
say "dist/compose.yaml is a compose file"

begin_containers
find_runtime_image
build_relay_image "$program" localhost/savio-relay
settle_engine localhost/savio-relay

# Makes the image of Caddy that the compose file names: that one, or Debian's Caddy as it would be in it.
make_caddy_image() {
    local image=$1
    if timeout 60 buildah pull "$image" >"$work/pull" 2>&1; then return; fi
    say "$image cannot be had: Debian's Caddy takes its place"
    extract_packages "$work/caddy" caddy libzstd1
    mkdir "$work/caddy/config" "$work/caddy/data"
    printf '%s\n' "FROM $runtime_image" 'COPY . /' 'ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data' 'USER root' \
        'CMD ["/usr/bin/caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]' >"$work/Caddy"
    buildah bud --format docker --file "$work/Caddy" --tag "$image" "$work/caddy" >"$work/build" 2>&1 \
        || { cat "$work/build"; fail "Caddy's image should build"; }
}
make_caddy_image "$(sed -n 's/^ *image: *\(.*caddy.*\)$/\1/p' dist/compose.yaml)"


# --- As in docs/operations.md: a folder with the three files ---

mkdir "$work/relay" && cd "$work/relay"
cp "$root"/dist/{compose.yaml,Caddyfile} .
cp "$root/dist/.env.example" .env
chmod 600 .env

# Writes a value into .env, at the place that the example has for it.
setting() {
    grep -q "^#\?$1=" .env || fail "dist/.env.example should have $1"
    sed -i "s|^#\?$1=.*|$1=$2|" .env
}
setting DOMAIN "$domain"
setting TLS_ISSUER internal
setting SAVIO_API_TOKEN practice-savio-token
setting TYPEFORM_SECRET "$typeform_secret"
setting ADMIN_TOKEN practice-admin-token
# What the example leaves to the user: a second source, and the sandbox in place of Savio.
printf '%s\n' "TRELLO_SECRET=$trello_secret" SAVIO_RELAY_SAVIO__BASE_URL=http://savio:9090/app/api/ >>.env
mkdir backup
chown 65532:65532 backup

compose() { in_network env "PATH=$PATH" podman-compose "$@" 2> >(grep -v 'level=.*systemd\|Initialization' >&2); }
relay=relay_relay_1 caddy=relay_caddy_1
log_of_relay() { podman logs "$relay"; }

compose up -d >"$work/up" 2>&1 || { cat "$work/up"; fail 'compose should start it'; }
until_health_is "$relay" healthy
until_true 'podman logs "$caddy" 2>&1 | grep "serving initial configuration"'
podman run --detach --name savio --network relay_proxy --read-only localhost/savio-relay sandbox --listen 0.0.0.0:9090 >/dev/null
say "compose started $(podman ps --format '{{.Names}}' | sort | paste -sd ' ')"

# --- From outside ---

proxy_address=$router_address certificates=$work/root.crt
until_true 'podman cp "$caddy:/data/caddy/pki/authorities/local/root.crt" "$certificates"'
begin_client
check_proxy
check_only_hooks
[[ $(podman port "$relay") == '8081/tcp -> 127.0.0.1:8081' ]] || fail "the relay should publish the admin API on loopback only"

# --- From this machine, and in the container ---

in_network curl --silent --fail --header 'Authorization: Bearer practice-admin-token' http://127.0.0.1:8081/metrics >"$work/metrics" \
    || fail 'the admin API should be on loopback'
compose exec relay savio-relay send typeform >"$work/sent" 2>&1 || { cat "$work/sent"; fail 'a sample should be accepted'; }
until_true 'podman exec "$relay" savio-relay events list --state delivered | grep typeform'
compose exec relay savio-relay doctor >"$work/doctor" 2>&1 || true
for line in "typeform is at https://$domain/hooks/typeform" 'a relay runs on 0.0.0.0:8080, and is ready' '/data/relay.db is intact'; do
    grep -qF "$line" "$work/doctor" || { cat "$work/doctor"; fail "doctor should say: $line"; }
done
compose exec -T relay savio-relay backup /backup/relay-practice.db >"$work/backup.log" 2>&1 || { cat "$work/backup.log"; fail 'a backup should succeed'; }
[[ $(stat --format '%u %a' backup/relay-practice.db) == '65532 600' ]] || fail 'the backup should be in the folder backup'
compose kill -s HUP relay >/dev/null
until_true 'log_of_relay 2>&1 | grep -i reload'

for name in "$relay" "$caddy"; do
    pid=$(podman inspect --format '{{.State.Pid}}' "$name")
    [[ $(awk '$2 == "/" { print $4 }' "/proc/$pid/mounts") == ro,* ]] || fail "the root of $name should be read-only"
    grep -q '^NoNewPrivs:\s1$' "/proc/$pid/status" || fail "$name should get no new privilege"
done

# --- Down and up again: the events are still there ---

begun=$SECONDS
compose stop relay >/dev/null
[[ $(podman inspect --format '{{.State.ExitCode}}' "$relay") == 0 ]] || fail 'the relay should stop with status 0'
(( SECONDS - begun < 15 )) || fail 'the relay should stop within its grace period'
# Its network goes with the last container on it; a bridge that stays knows Caddy by the old container's address for a while.
podman rm --force --time 0 savio >/dev/null
compose down >"$work/down" 2>&1 || { cat "$work/down"; fail 'compose should stop it'; }
compose up -d >"$work/up" 2>&1 || { cat "$work/up"; cat "$work/down"; fail 'compose should start it again'; }
until_health_is "$relay" healthy
podman exec "$relay" savio-relay events list --state delivered | grep -q typeform || fail 'the events should outlive the containers'
write_typeform "$work/again" 1000
until_true '[[ $(ask --max-time 2 "https://$domain/hooks/unknown" --data x) == 404 ]]'
expect_typeform 202 "$work/again"
say "dist/compose.yaml does what docs/operations.md says of it, in $SECONDS s"
