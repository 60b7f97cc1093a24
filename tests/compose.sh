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
check-jsonschema --quiet --builtin-schema vendor.compose-spec dist/compose.yaml
say "dist/compose.yaml is a compose file"
# Not any address more: who else connects to the relay, such as another container, can write X-Forwarded-For themselves.
"$root/target/validators/python/bin/python" - <<'P' || fail 'the relay should trust the address of Caddy and no other'
import sys, yaml
services = yaml.safe_load(open("dist/compose.yaml"))["services"]
address = services["caddy"]["networks"]["proxy"]["ipv4_address"]
sys.exit(services["relay"]["environment"]["SAVIO_RELAY_SERVER__TRUSTED_PROXIES"] != address)
P
# Docker would wait for that and give up. podman-compose starts Caddy in any case, so that it would not be seen below.
! grep -q 'condition: service_healthy' dist/compose.yaml || fail 'Caddy should start beside a relay that is not ready'

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


# The commands of the documentation, with what this machine has in their place.
sudo() { "$@"; }
curl() { in_network curl --silent --show-error "$@"; }
docker() {
    case "$1 $2" in
        'compose cp') podman cp "${3/#caddy:/$caddy:}" "$4" ;;
        compose\ *) in_network env "PATH=$PATH" podman-compose "${@:2}" 2> >(grep -v 'level=.*systemd\|Initialization' >&2) ;;
        *) return 1 ;;
    esac
}
relay=relay_relay_1 caddy=relay_caddy_1
log_of_relay() { podman logs "$relay"; }

# Runs a command line that docs/operations.md shows, and checks that it succeeds, or ends with a status of the pattern.
doc() {
    local status=0
    grep -qF -- "$1" "$root/docs/operations.md" || fail "docs/operations.md should show: $1"
    eval "$1" >"$work/output" 2>&1 || status=$?
    # shellcheck disable=SC2053 # a pattern
    [[ $status == 0 || $status == ${2:-0} ]] || { cat "$work/output"; fail "should succeed, not end with status $status: $1"; }
}
said() { grep -qF -- "$1" "$work/output" || { cat "$work/output"; fail "should say: $1"; }; }

# --- As in docs/operations.md: a folder with the three files ---

mkdir "$work/relay" && cd "$work/relay"
cp "$root"/dist/{compose.yaml,Caddyfile,.env.example} .
doc 'cp .env.example .env && chmod 600 .env'
doc 'mkdir backup && sudo chown 65532:65532 backup'

# Writes a value into .env, at the place that the example has for it.
setting() {
    grep -q "^#\?$1=" .env || fail "dist/.env.example should have $1"
    sed -i "s|^#\?$1=.*|$1=$2|" .env
}
setting DOMAIN "$domain"
setting TLS_ISSUER internal

# Without a secret no source is live and the relay is not ready, and still its answers are public.
doc 'docker compose up -d'
until_true '[[ $(curl --insecure --resolve "$domain:443:127.0.0.1" "https://$domain/hooks/typeform" --data x) == *"source is off"* ]]'
until_health_is "$relay" unhealthy
say 'without a source, the relay answers through Caddy, and is unhealthy'
docker compose down >"$work/output" 2>&1 || { cat "$work/output"; fail 'compose should remove its containers'; }

setting SAVIO_API_TOKEN practice-savio-token
setting TYPEFORM_SECRET "$typeform_secret"
ADMIN_TOKEN=practice-admin-token
setting ADMIN_TOKEN "$ADMIN_TOKEN"
# What the example leaves to the user: a second source, and the sandbox in place of Savio.
printf '%s\n' "TRELLO_SECRET=$trello_secret" SAVIO_RELAY_SAVIO__BASE_URL=http://savio:9090/app/api/ >>.env

doc 'docker compose up -d'
until_health_is "$relay" healthy
until_true 'podman logs "$caddy" 2>&1 | grep "serving initial configuration"'
podman run --detach --name savio --network relay_proxy --read-only localhost/savio-relay sandbox --listen 0.0.0.0:9090 >/dev/null
say "compose started $(podman ps --format '{{.Names}}' | sort | paste -sd ' ')"
doc 'docker compose logs relay'
said "typeform  live  https://$domain/hooks/typeform"

# --- From outside ---

proxy_address=$router_address certificates=$work/root.crt
doc 'docker compose cp caddy:/data/caddy/pki/authorities/local/root.crt .'
cp root.crt "$certificates"
begin_client
check_proxy
check_only_hooks
[[ $(podman port "$relay") == '8081/tcp -> 127.0.0.1:8081' ]] || fail "the relay should publish the admin API on loopback only"

# --- From this machine, and in the container ---

doc "curl --cacert root.crt --resolve $domain:443:127.0.0.1 https://$domain/hooks/typeform -d '{}'"
said 'signature missing'
doc 'curl -H "Authorization: Bearer $ADMIN_TOKEN" http://127.0.0.1:8081/api/v1/events'
said '"source":"typeform"'
docker compose exec relay savio-relay send typeform >"$work/output" 2>&1 || { cat "$work/output"; fail 'a sample should be accepted'; }
until_true 'podman exec "$relay" savio-relay events list --state delivered | grep typeform'
doc 'docker compose exec relay savio-relay healthcheck'
said ready
# It may find the public address wrong, or not find it, since no DNS knows its name here.
doc 'docker compose exec relay savio-relay doctor' '[13]'
said "https://$domain/hooks/typeform"
said 'a relay runs on 0.0.0.0:8080, and is ready'
said '/data/relay.db is intact'
doc 'docker compose exec -T relay savio-relay backup "/backup/relay-$(date +%F).db"'
[[ $(stat --format '%u %a' backup/relay-*.db) == '65532 600' ]] || fail 'the backup should be in the folder backup'
doc 'docker compose kill -s HUP relay'
until_true 'log_of_relay 2>&1 | grep -i reload'
doc 'docker compose restart caddy'
for name in "$relay" "$caddy"; do
    pid=$(podman inspect --format '{{.State.Pid}}' "$name")
    [[ $(awk '$2 == "/" { print $4 }' "/proc/$pid/mounts") == ro,* ]] || fail "the root of $name should be read-only"
    grep -q '^NoNewPrivs:\s1$' "/proc/$pid/status" || fail "$name should get no new privilege"
done

# --- Down and up again: the events are still there ---

begun=$SECONDS
doc 'docker compose stop'
[[ $(podman inspect --format '{{.State.ExitCode}}' "$relay") == 0 ]] || fail 'the relay should stop with status 0'
(( SECONDS - begun < 15 )) || fail 'the relay should stop within its grace period'
# Its network goes with the last container on it; a bridge that stays knows Caddy by the old container's address for a while.
podman rm --force --time 0 savio >/dev/null
docker compose down >"$work/output" 2>&1 || { cat "$work/output"; fail 'compose should remove its containers'; }
# A mapping file of one's own, as a comment of the compose file says.
mkdir mappings
printf '%s\n' 'provider = "typeform"' 'secrets = ["env:SURVEY_SECRET"]' '[[feedback]]' 'problem = "$.form_response.token"' >mappings/survey.toml
grep -q '# - ./mappings:' compose.yaml || fail 'dist/compose.yaml should show where mapping files go'
sed -i 's|# - ./mappings:|- ./mappings:|' compose.yaml
echo SURVEY_SECRET=practice-survey-secret >>.env
doc 'docker compose up -d'
until_health_is "$relay" healthy
doc 'docker compose logs relay'
said "survey    live  https://$domain/hooks/survey"
podman exec "$relay" savio-relay events list --state delivered | grep -q typeform || fail 'the events should outlive the containers'
write_typeform "$work/again" 1000
until_true '[[ $(ask --max-time 2 "https://$domain/hooks/unknown" --data x) == 404 ]]'
expect_typeform 202 "$work/again"
docker compose down >"$work/output" 2>&1 || { cat "$work/output"; fail 'compose should remove its containers'; }

# --- The file of README.md, which needs no proxy ---

mkdir "$work/readme" && cd "$work/readme"
awk '/^## Run it in a container/ { found = 1 } found && $0 == "```" { exit } inside { print } found && $0 == "```yaml" { inside = 1 }' \
    "$root/README.md" >compose.yaml
check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml
# It builds the image, for which an image of Rust is needed.
grep -q 'build: \.$' compose.yaml || fail 'the file of README.md should build the image'
podman tag localhost/savio-relay localhost/readme_relay
printf '%s\n' SAVIO_API_TOKEN=practice-savio-token "TYPEFORM_SECRET=$typeform_secret" >.env
docker compose up -d >"$work/output" 2>&1 || { cat "$work/output"; fail 'the file of README.md should start'; }
until_health_is readme_relay_1 healthy
curl http://127.0.0.1:8080/hooks/typeform -d '{}' | grep -q 'signature missing' || fail 'the relay should answer on this machine'
say "the file of README.md starts a relay, too"

say "dist/compose.yaml does what docs/operations.md says of it, in $SECONDS s"
