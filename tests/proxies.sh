#!/usr/bin/env bash
# Puts Debian's nginx and Caddy in front of the relay, each with the lines that the documentation shows for it, and posts
# webhooks to them by https from an address of its own. Fails at the first thing that a user would not expect.
#
# Usage: tests/proxies.sh [PROGRAM]      (default: target/release/savio-relay)
#
# Works as root and needs Debian's packages, of which it takes what is missing.
set -euo pipefail
# shellcheck source=tests/containers.sh
source "$(dirname "${BASH_SOURCE[0]}")/containers.sh"
# shellcheck source=tests/proxy_checks.sh
source "$root/tests/proxy_checks.sh"
program=$(realpath "${1:-$root/target/release/savio-relay}")

begin_network
need_only_program caddy usr/bin/caddy
need_only_program nginx usr/sbin/nginx
begin_client
proxy_address=$router_address underscore_secret=practice-underscore-secret

# Prints the first code block of a language below a heading of a page.
block() {
    awk -v heading="$2" -v fence="\`\`\`$3" '
        $0 == heading { found = 1 }
        found && $0 == "```" && inside { exit }
        inside { print }
        found && $0 == fence { inside = 1 }' "$root/$1" | grep . || fail "$1 should have a block of $3 below $2"
}

# Starts a program in the namespace, with its output in a file.
begin() {
    local log=$1
    shift
    # Not by `in_network`, whose process would be a shell around the program.
    nsenter "--net=/run/netns/$namespace" "$@" >"$log" 2>&1 &
    started=$!
    at_end+=("end_if_running $started")
}
end_if_running() { ! kill -0 "$1" 2>/dev/null || kill "$1"; }
stop() { kill "$started"; wait "$started" 2>/dev/null || true; }

# Starts the relay anew, with the trusted proxies that the section of a page names.
begin_relay() {
    local trusted=$1 folder
    folder=$(mktemp -d -p "$work")
    log=$folder/log
    mkdir "$folder/mappings"
    cat >"$folder/mappings/underscore.toml" <<'T'
secrets = ["env:UNDERSCORE_SECRET"]

[signature]
scheme = "hmac"
algorithm = "sha256"
header = "X_Practice_Signature"
encoding = "base64"
signed = "{body}"

[[feedback]]
problem = "$.text"
T
    log_of_relay() { cat "$log"; }
    begin "$log" env -C "$folder" "TYPEFORM_SECRET=$typeform_secret" "TRELLO_SECRET=$trello_secret" \
        "UNDERSCORE_SECRET=$underscore_secret" "SAVIO_RELAY_SERVER__PUBLIC_URL=https://$domain" "SAVIO_RELAY_SERVER__TRUSTED_PROXIES=$trusted" "$program" serve
    relay=$started
    until_true 'grep "listening on" "$log"'
}
end_relay() { kill "$relay"; wait "$relay" || fail 'the relay should end with status 0'; }

# Returns the addresses in `trusted_proxies = [...]` below a heading, as an environment variable lists them.
trusted_below() {
    awk -v heading="$1" '$0 == heading { found = 1 } found' "$root/docs/operations.md" \
        | grep -oP 'trusted_proxies = \[\K[^]]*' | head -1 | tr -d '" '
}

# Checks that a header whose name has an underscore comes through.
check_underscores() {
    write_typeform "$work/underscore" 1000
    expect 202 "https://$domain/hooks/underscore" --header "X_Practice_Signature: $(signature sha256 "$underscore_secret" "$work/underscore")" \
        --header 'Content-Type: application/json' --data-binary "@$work/underscore"
    say 'so does a header whose name has underscores'
}

# --- nginx ---

mkdir -p "$work/nginx/tmp"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$domain" -addext "subjectAltName=DNS:$domain" \
    -keyout "$work/nginx/privkey.pem" -out "$work/nginx/fullchain.pem" 2>"$work/openssl" \
    || { cat "$work/openssl"; fail 'openssl should make a certificate'; }
{
    printf 'daemon off;\npid %s/nginx/pid;\nuser root;\nevents {}\nhttp {\naccess_log off;\n' "$work"
    for path in client_body proxy fastcgi uwsgi scgi; do printf '%s_temp_path %s/nginx/tmp;\n' "$path" "$work"; done
    block docs/operations.md '### nginx' nginx | sed "s|/etc/letsencrypt/live/$domain|$work/nginx|"
    printf '}\n'
} >"$work/nginx/nginx.conf"
say "nginx, with the lines of docs/operations.md: $(nginx -v 2>&1)"
begin_relay "$(trusted_below '### nginx')"
begin "$work/nginx/log" nginx -e stderr -c "$work/nginx/nginx.conf"
certificates=$work/nginx/fullchain.pem
until_true '[[ $(ask --max-time 2 "https://$domain/hooks/unknown" --data x) == 404 ]]'
check_proxy
check_underscores
check_only_hooks
stop
end_relay

# --- Caddy, as in docs/operations.md ---

export XDG_DATA_HOME=$work/caddy XDG_CONFIG_HOME=$work/caddy HOME=$work/caddy
mkdir "$work/caddy"
certificates=$work/caddy/caddy/pki/authorities/local/root.crt
# Certificates of its own, in place of those of a public authority.
{ printf '{\n    local_certs\n    skip_install_trust\n}\n'; block docs/operations.md '### Caddy' text; } >"$work/caddy/Caddyfile"
say "Caddy, with the lines of docs/operations.md: $(caddy version)"
begin_relay "$(trusted_below '### Caddy')"
begin "$work/caddy/log" caddy run --adapter caddyfile --config "$work/caddy/Caddyfile"
until_true '[[ $(ask --max-time 2 "https://$domain/hooks/unknown" --data x) == 404 ]]'
check_proxy
check_underscores
check_only_hooks
stop
end_relay

# --- Caddy, as in README.md ---

command=$(grep -o '`caddy reverse-proxy [^`]*`' "$root/README.md" | tr -d '`')
[[ $command == *"--from $domain "* ]] || fail "README.md should show a command line of Caddy for $domain"
trusted=$(grep -oP 'TRUSTED_PROXIES=\K\S+' "$root/README.md")
say "Caddy, with the line of README.md: $command"
begin_relay "$trusted"
# shellcheck disable=SC2086 # the words of a command line
begin "$work/caddy/log" $command --internal-certs
until_true '[[ $(ask --max-time 2 "https://$domain/hooks/unknown" --data x) == 404 ]]'
check_proxy
check_underscores
stop
end_relay
say "nginx and Caddy do what the documentation says of them, in $SECONDS s"
