#!/usr/bin/env bash
# Walks the Debian package through its life, in a fresh Debian in which no systemd runs: installation, the first webhook
# through a reverse proxy with TLS, backup, upgrade, downgrade, a changed configuration file, removal, purge. Savio is the
# sandbox. Needs root and debootstrap; everything runs in namespaces of its own, without a network.
#
# Usage: tests/package.sh PACKAGE PREVIOUS_PACKAGE
#
# PREVIOUS_PACKAGE has the version before and a lower version number; tests/previous-package.sh makes it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/steps.sh
source "$root/tests/steps.sh"
# shellcheck source=tests/debian.sh
source "$root/tests/debian.sh"

if [[ -z ${PACKAGE_WALK_FOLDER:-} ]]; then
    if (( $# != 2 )); then
        printf 'Usage: tests/package.sh PACKAGE PREVIOUS_PACKAGE\n' >&2
        exit 2
    fi
    require_root_and debootstrap unshare dpkg-deb
    make_debian_base
    begin_walk
    PACKAGE_WALK_FOLDER=$walk_folder
    cp -a "$debian_base" "$PACKAGE_WALK_FOLDER/debian"
    mkdir "$PACKAGE_WALK_FOLDER/debian/packages"
    cp "$1" "$PACKAGE_WALK_FOLDER/debian/packages/savio-relay.deb"
    cp "$2" "$PACKAGE_WALK_FOLDER/debian/packages/previous.deb"
    export PACKAGE_WALK_FOLDER
    # All processes and mounts end with the namespaces.
    run_walk 1200 unshare --mount --net --pid --fork --kill-child "$0"
    exit
fi

work=$PACKAGE_WALK_FOLDER
export LC_ALL=C.UTF-8 TZ=UTC DEBIAN_FRONTEND=noninteractive
cd "$work"
mount -t proc proc debian/proc

# --- The Debian ---

# Runs a program in the Debian, as root and with none of the caller's variables.
inside() {
    # Not in a subshell when it is started in the background, so that signals reach the program.
    ${exec:-} chroot debian env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@"
}

# Lists all files, but not what dpkg, apt, the user database and Caddy keep for themselves.
files() {
    (cd debian && find . -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o -path ./run -prune -o -print) \
        | grep -vE '^\./(var/lib/(dpkg|apt|caddy)|var/cache|var/log|packages|root|tmp|etc/(passwd|group|shadow|gshadow)-$)' \
        | LC_ALL=C sort
}

# Shows mode and owner of files; the names may be patterns.
mode() { inside sh -c "stat -c '%A %U:%G %n' $*"; }

# Reads a key of the installed unit.
unit() { sed -n "s/^$1=-\{0,1\}//p" debian/lib/systemd/system/savio-relay.service; }

# Starts a program in the background until its log has a text.
begin() {
    local log=$1.log ready=$2
    shift 2
    printf '$ %s &\n' "$*"
    # Now, since the text may be there of an earlier start.
    : >"$log"
    exec="exec" "$@" >"$log" 2>&1 &
    last_started=$!
    until_true "grep -F -- '$ready' $log || ! cat $log"
}

stop() {
    kill "$1"
    local ended=0
    wait "$1" || ended=$?
    command_line="a stop by SIGTERM" output=$(cat ./*.log) status=$ended
    ends_with 0
}

# Starts the relay as systemd would: all that can be is read from the unit. The variables in this walk mean the same to
# the shell as to systemd.
start_relay() {
    begin relay 'listening on' inside sh -c "set -a && . $(unit EnvironmentFile) && set +a && umask $(unit UMask) && \
cd $(unit WorkingDirectory) && exec setpriv --reuid=$(unit User) --regid=$(unit Group) --init-groups --no-new-privs \
--inh-caps=-all --bounding-set=-all $(unit ExecStart)"
    relay=$last_started
}

start_sandbox() {
    begin sandbox 'http://127.0.0.1:9090' inside setpriv --reuid=nobody --regid=nogroup --clear-groups \
        savio-relay sandbox
    sandbox=$last_started
}

# --- A tool that sends webhooks, with a secret and from outside of the proxy ---

secret=a-secret-of-the-walk

# Sends what Typeform sends for an answer with this text.
send() {
    local body=debian/packages/$1.json signature
    sed -e "s/\"event_id\": \"[^\"]*\"/\"event_id\": \"event-$1\"/" -e "s/A weekly export of all answers/Wish $1/" \
        "$root/mappings/samples/typeform.form_response.json" >"$body"
    signature=$(inside openssl dgst -sha256 -hmac "$secret" -binary "/packages/$1.json" | base64)
    step "inside curl -sS -w ' %{http_code}' --cacert $authority \
-H 'Content-Type: application/json' -H 'Typeform-Signature: sha256=$signature' --data-binary @/packages/$1.json \
https://relay.example.com/hooks/typeform"
    ends_with 0
    says ' 202'
}

arrived() { until_true "inside curl -sS http://127.0.0.1:9090/sandbox/feedback | grep -qF 'Wish $1'"; }

queued() {
    step "inside savio-relayctl events list --state queued --json | grep -c '\"id\"'"
    [[ $output == "$1" ]] || fail "should find $1 queued events"
}

# --- The installation ---

inside ip link set lo up
echo '127.0.0.1 relay.example.com' >>debian/etc/hosts
files >files-before

step 'inside apt-get install -y /packages/savio-relay.deb'
ends_with 0
step "mode '/usr/bin/savio-relay /etc/savio-relay/* /var/lib/savio-relay'"
says '-rwxr-xr-x root:root /usr/bin/savio-relay'
says '-rw-r--r-- root:root /etc/savio-relay/relay.toml'
says '-rw------- root:root /etc/savio-relay/secrets.env'
says 'drwxr-s--- root:savio-relay /etc/savio-relay/secrets'
says 'drwx------ savio-relay:savio-relay /var/lib/savio-relay'
step 'inside systemctl is-enabled savio-relay.service'
says 'enabled'
step 'inside systemctl is-enabled savio-relay-backup.timer'
says 'disabled'
step 'inside systemd-analyze verify --man=no savio-relay.service savio-relay-backup.service savio-relay-backup.timer'
ends_with 0
[[ -z $output ]] || fail 'should say nothing'
step 'inside systemd-analyze security --offline=true --threshold=12 savio-relay.service | tail -1'
ends_with 0
step 'inside systemd-analyze security --offline=true --threshold=6 savio-relay-backup.service | tail -1'
ends_with 0
# Each key that the short configuration shows exists, and what it shows is right.
step "sed 's/^#\([a-z_]* = \)/\1/' debian/etc/savio-relay/relay.toml >debian/packages/all.toml && \
inside savio-relay check --config /packages/all.toml"
ends_with 0
step 'inside savio-relay check --config /etc/savio-relay/relay.toml'
ends_with 0

# Nothing is configured: the relay starts, here as where there is no systemd, and every source is off.
begin relay 'listening on' inside savio-relayctl serve
relay=$last_started
step "inside ps -o user:20= -p $relay"
says 'savio-relay'
step "cat relay.log"
says '35 more are ready'
says '/var/lib/savio-relay/admin-token'
step 'inside savio-relayctl sources list'
ends_with 0
stop "$relay"

# --- savio-relayctl, when the caller or the configuration is unusual ---

step "inside sh -c 'cd /usr/sbin && ./savio-relayctl sources list'"
ends_with 0
cp -p debian/etc/savio-relay/secrets.env secrets.env
echo PATH=/nowhere >>debian/etc/savio-relay/secrets.env
step 'inside savio-relayctl sources list'
ends_with 0
mv secrets.env debian/etc/savio-relay/secrets.env
mv debian/etc/savio-relay configuration
step 'inside savio-relayctl check'
ends_with 3
[[ $output == 'savio-relayctl: there is no folder /etc/savio-relay: see "Running with systemd" in docs/operations.md' ]] \
    || fail 'should say which folder is missing, and nothing else'
mv configuration debian/etc/savio-relay

# --- The first webhook ---

cat >>debian/etc/savio-relay/secrets.env <<S
SAVIO_API_TOKEN=a-token-of-the-walk
TYPEFORM_SECRET="$secret"
ADMIN_TOKEN=an-admin-token-of-the-walk-to-use
S
sed -i -e 's/^#\(public_url\|trusted_proxies\)/\1/' debian/etc/savio-relay/relay.toml
printf '\n[savio]\nbase_url = "http://127.0.0.1:9090/app/api/"\n' >>debian/etc/savio-relay/relay.toml
cat >debian/etc/caddy/Caddyfile <<'C'
{
	skip_install_trust
}
relay.example.com {
    tls internal
    handle /hooks/* {
        reverse_proxy 127.0.0.1:8080
    }
    respond 404
}
C
begin caddy 'serving initial configuration' inside env HOME=/var/lib/caddy \
    caddy run --config /etc/caddy/Caddyfile
authority=/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt
until_true "[ -e debian$authority ]"
# `doctor` trusts what this machine trusts.
install -m 0644 "debian$authority" debian/packages/authority.crt
echo SSL_CERT_FILE=/packages/authority.crt >>debian/etc/savio-relay/secrets.env
start_sandbox
start_relay
send first
arrived first
step "cat relay.log"
says 'typeform  live  https://relay.example.com/hooks/typeform'
says 'accepted a webhook for typeform'
step 'inside savio-relayctl doctor'
says_not 'WRONG'
step 'inside savio-relayctl events list --state delivered'
says 'typeform'

# --- A backup ---

step 'inside savio-relayctl backup /var/backups/savio-relay/relay.db'
ends_with 0
step 'mode /var/backups/savio-relay/relay.db'
says '-rw-------'

# The unit deletes old backups that it made itself.
backups=debian/var/backups/savio-relay
touch -d '20 days ago' "$backups"/relay-2026-11-01T0307.db "$backups"/relay-before-upgrade.db
touch "$backups"/relay-2026-11-20T0307.db
step "inside $(sed -n 's/^ExecStartPost=//p' debian/lib/systemd/system/savio-relay-backup.service)"
ends_with 0
step "LC_ALL=C ls $backups"
[[ $output == $'relay-2026-11-20T0307.db\nrelay-before-upgrade.db\nrelay.db' ]] || fail 'should list all but the old one of the unit'

# --- Removal and purge, with a configuration and a store ---

stop "$relay"
touch debian/etc/savio-relay/mappings/of-mine.toml
step 'inside apt-get remove -y savio-relay'
ends_with 0
step "ls debian/etc/savio-relay"
says 'mappings'; says 'relay.toml'; says 'secrets.env'
step 'inside apt-get purge -y savio-relay'
ends_with 0
says '/var/lib/savio-relay is kept'
says '/var/backups/savio-relay is kept'
rm -r debian/var/backups/savio-relay
files >files-after
step "LC_ALL=C comm -13 files-before files-after"
[[ $output == $'./var/lib/savio-relay\n./var/lib/savio-relay/relay.db' ]] || fail 'should list the store and nothing else'
rm -r debian/var/lib/savio-relay

# --- An upgrade and a downgrade, with events that wait ---

step 'inside apt-get install -y /packages/previous.deb'
ends_with 0
cat >>debian/etc/savio-relay/secrets.env <<S
SAVIO_API_TOKEN=a-token-of-the-walk
TYPEFORM_SECRET=$secret
S
# As the conffile of the package, so that the upgrades do not ask.
printf 'SAVIO_RELAY_SAVIO__BASE_URL=http://127.0.0.1:9090/app/api/\n' >>debian/etc/savio-relay/secrets.env
sum=$(sha256sum debian/etc/savio-relay/secrets.env)
start_relay
send before-upgrade
arrived before-upgrade
stop "$sandbox"
send waits-1; send waits-2; send waits-3
queued 3
stop "$relay"

step 'inside apt-get install -y /packages/savio-relay.deb'
ends_with 0
says 'over (0.0.1~previous)'
[[ $(sha256sum debian/etc/savio-relay/secrets.env) == "$sum" ]] || fail 'should leave secrets.env as it is'
start_relay
queued 3
send after-upgrade
start_sandbox
step 'inside savio-relayctl destinations probe'
arrived waits-1; arrived waits-2; arrived waits-3; arrived after-upgrade
queued 0

stop "$sandbox"
send waits-4; send waits-5
queued 2
stop "$relay"
step 'inside apt-get install -y --allow-downgrades /packages/previous.deb'
ends_with 0
says 'downgrading'
start_relay
queued 2
start_sandbox
step 'inside savio-relayctl destinations probe'
arrived waits-4; arrived waits-5
queued 0
step "inside savio-relayctl events list --state delivered --json | grep -c '\"id\"'"
[[ $output == 7 ]] || fail 'should find all 7 events'
stop "$relay"

# --- A configuration file that both sides changed: Debian asks ---

step 'inside apt-get install -y /packages/savio-relay.deb'
ends_with 0
next=debian/packages/next
dpkg-deb -R debian/packages/savio-relay.deb "$next"
sed -i 's/^Version: .*/&+next/' "$next/DEBIAN/control"
echo '# Another comment.' >>"$next/etc/savio-relay/relay.toml"
dpkg-deb -Znone -b "$next" debian/packages/next.deb >/dev/null
echo '# A comment of mine.' >>debian/etc/savio-relay/relay.toml
step 'inside dpkg -i /packages/next.deb </dev/null'
ends_with 1
says "Configuration file '/etc/savio-relay/relay.toml'"
says 'Modified (by you or by a script) since installation.'
step 'inside dpkg --force-confold --configure savio-relay'
ends_with 0
step "tail -n 1 debian/etc/savio-relay/relay.toml debian/etc/savio-relay/relay.toml.dpkg-dist"
says 'A comment of mine.'; says 'Another comment.'
step 'inside apt-get purge -y savio-relay'
ends_with 0
files >files-after
step "LC_ALL=C comm -13 files-before files-after"
[[ $output == $'./var/lib/savio-relay\n./var/lib/savio-relay/relay.db' ]] || fail 'should list the store and nothing else'

# Who installs it again goes on with the store.
step 'inside apt-get install -y /packages/savio-relay.deb'
ends_with 0
step "inside savio-relayctl events list --state delivered --json | grep -c '\"id\"'"
[[ $output == 7 ]] || fail 'should find all 7 events'

# --- Folders that are links, one of them to a disk that is not there ---

step 'inside apt-get purge -y savio-relay'
ends_with 0
rm -r debian/var/lib/savio-relay
mkdir -p debian/srv/configuration
ln -s /srv/configuration debian/etc/savio-relay
ln -s /srv/disk/store debian/var/lib/savio-relay
step 'inside apt-get install -y /packages/savio-relay.deb'
ends_with 0
[[ $(readlink debian/var/lib/savio-relay) == /srv/disk/store ]] || fail 'should leave the link to the store'
step 'inside apt-get purge -y savio-relay'
ends_with 0
says '/srv/configuration, to which /etc/savio-relay led, is kept'
step 'ls debian/srv/configuration'
says 'secrets.env'
step 'ls -d debian/etc/savio-relay'
ends_with 2

printf '\nThe package was installed, used, upgraded, downgraded and purged, and kept every event.\n'
