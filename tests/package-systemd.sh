#!/usr/bin/env bash
# Boots a fresh Debian with systemd as its first process, and runs the package's service there: start, readiness, reload,
# watchdog, sandbox, credentials, https on port 443, backups by the timer, an upgrade, removal. Savio is the sandbox.
# Needs root, debootstrap and systemd-nspawn (apt-get install systemd-container).
#
# Usage: tests/package-systemd.sh PACKAGE
#
# Exits with 75 if systemd cannot boot on this machine, as in most containers.
# shellcheck disable=SC2016  # command lines are shown as the documentation has them
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# --- Outside: boots the Debian, in which this script runs a second time ---

boot() {
    root=$(cd "$here/.." && pwd)
    # shellcheck source=tests/debian.sh
    source "$root/tests/debian.sh"
    require_root_and debootstrap systemd-nspawn dpkg-deb
    make_debian_base
    begin_walk
    local debian=$walk_folder/debian
    cp -a "$debian_base" "$debian"
    mkdir "$debian/packages"
    cp -r "$here"/{package-systemd.sh,steps.sh} "$root"/{dist,docs,mappings} "$debian/packages/"
    cp "$1" "$debian/packages/savio-relay_1_amd64.deb"
    next_package "$debian/packages"
    echo 'APT::Get::Assume-Yes "true";' >"$debian/etc/apt/apt.conf.d/walk"
    echo '127.0.0.1 relay.example.com' >>"$debian/etc/hosts"
    cat >"$debian/etc/systemd/system/walk.service" <<'U'
[Unit]
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
TimeoutStartSec=240
ExecStart=/bin/bash /packages/package-systemd.sh inside
StandardOutput=append:/packages/output
StandardError=append:/packages/output
[Install]
WantedBy=default.target
U
    ln -s ../walk.service "$debian/etc/systemd/system/multi-user.target.wants/"
    touch "$debian/packages/output"
    run_walk 300 systemd-nspawn --quiet --directory="$debian" --private-network --register=no --keep-unit \
        --boot >"$walk_folder/console" 2>&1 || true
    cat "$debian/packages/output"
    if [[ -e $debian/packages/passed ]]; then
        printf '\nThe service of the package was started, watched, upgraded and removed by systemd.\n'
    elif [[ -s $debian/packages/output ]]; then
        printf '\nFAILED: the walk inside of the Debian did not reach its end.\n' >&2
        exit 1
    else
        tail -n 20 "$walk_folder/console" >&2
        printf '\nsystemd does not boot in systemd-nspawn on this machine: see the lines above\n' >&2
        exit 75
    fi
}

# Makes a package of the same content with a higher version.
next_package() {
    dpkg-deb -R "$1/savio-relay_1_amd64.deb" "$1/next"
    sed -i 's/^Version: .*/&+next/' "$1/next/DEBIAN/control"
    dpkg-deb -Znone -b "$1/next" "$1/next.deb" >/dev/null
    rm -r "$1/next"
}

# --- Inside ---

# Runs a command line that docs/operations.md shows.
doc() {
    command_line=$1
    grep -qF -- "$1" /packages/docs/operations.md || fail 'should be in docs/operations.md'
    step "$1"
    ends_with 0
}

property() { systemctl show savio-relay --property="$1" --value; }

main_pid() { property MainPID; }

# Writes what Typeform sends for an answer with this text, and prints how it is posted, signed with this secret.
post() {
    local body=/packages/$1.json signature
    sed -e "s/\"event_id\": \"[^\"]*\"/\"event_id\": \"event-$1\"/" -e "s/A weekly export of all answers/Wish $1/" \
        /packages/mappings/samples/typeform.form_response.json >"$body"
    signature=$(openssl dgst -sha256 -hmac "$2" -binary "$body" | base64)
    printf '%s' "curl -sS -w ' %{http_code}' --cacert $authority -H 'Content-Type: application/json' \
-H 'Typeform-Signature: sha256=$signature' --data-binary @$body ${3:-https://relay.example.com}/hooks/typeform"
}

send() {
    step "$(post "$@")"
    ends_with 0
    says ' 202'
}

arrived() { until_true "curl -sS http://127.0.0.1:9090/sandbox/feedback | grep -qF 'Wish $1'"; }

# Writes a drop-in of the service, as `systemctl edit` does, and restarts it.
drop_in() {
    mkdir -p /etc/systemd/system/savio-relay.service.d
    printf '$ systemctl edit savio-relay (%s)\n' "$1"
    cat >"/etc/systemd/system/savio-relay.service.d/$1.conf"
    restart
}

drop_in_ends() {
    rm "/etc/systemd/system/savio-relay.service.d/$1.conf"
    restart
}

restart() {
    doc 'systemctl daemon-reload'
    doc 'systemctl restart savio-relay'
}

walk() {
    work=$(mktemp -d)
    cd /packages
    # shellcheck source=tests/steps.sh
    source /packages/steps.sh
    trap 'if [[ ! -e /packages/passed ]]; then journalctl --no-pager -n 60 -u savio-relay -u savio-relay-backup; fi' EXIT
    export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/root
    authority=/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt
    installation
    first_webhook
    reload_and_files
    watchdog
    confinement
    credentials
    https_without_a_proxy
    another_store
    backup_and_restore
    upgrade
    removal
    without_the_package
    touch /packages/passed
}

installation() {
    doc 'apt-get install ./savio-relay_*.deb'
    # It is ready when apt-get returns.
    step 'systemctl status --no-pager savio-relay'
    ends_with 0
    says 'active (running)'
    says 'Status: "no source is live'
    step 'savio-relay healthcheck'
    says 'no source is live'
    step 'savio-relayctl sources list'
    ends_with 0
    step 'systemctl is-enabled savio-relay-backup.timer'
    says 'disabled'
}

first_webhook() {
    configure
    doc 'systemctl restart savio-relay'
    doc 'journalctl --no-pager -u savio-relay'
    says 'https://relay.example.com/hooks/typeform'
    cat >/etc/caddy/Caddyfile <<'C'
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
    step 'systemctl restart caddy'
    ends_with 0
    until_true "[ -e $authority ]"
    # `doctor` trusts what this machine trusts.
    step "install -m 0644 $authority /usr/local/share/ca-certificates/caddy.crt && update-ca-certificates"
    ends_with 0
    start_savio
    send first a-secret
    arrived first
    until_true 'systemctl status --no-pager savio-relay | grep "Status: .1 source is live"'
    doc 'savio-relayctl doctor'
    printf 'event_id,What is missing?\n1,Exports\n' >responses.csv
    doc 'savio-relayctl import typeform - < responses.csv'
    says 'records 1: 1 event'
}

# Writes the secrets and settings of a new user.
configure() {
    printf 'SAVIO_API_TOKEN=a-token-of-the-walk\nTYPEFORM_SECRET=a-secret\n' >>/etc/savio-relay/secrets.env
    sed -i -e 's/^#\(public_url\|trusted_proxies\)/\1/' /etc/savio-relay/relay.toml
    # A name, to see that the sandbox lets names be resolved.
    printf '\n[savio]\nbase_url = "http://localhost:9090/app/api/"\n' >>/etc/savio-relay/relay.toml
}

start_savio() {
    step 'systemd-run --quiet --unit=savio --property=DynamicUser=yes /usr/bin/env savio-relay sandbox'
    until_true 'curl -sS http://127.0.0.1:9090/sandbox/feedback'
}

# A mapping file of the user's own, and a secret in a file: both are applied, and the process stays.
reload_and_files() {
    local before
    before=$(main_pid)
    doc 'cd /etc/savio-relay'
    doc 'savio-relay init typeform'
    sed -i 's|^secrets .*|secrets = ["file:secrets/typeform"]|' mappings/typeform.toml
    doc 'openssl rand -hex 32 > /etc/savio-relay/secrets/typeform'
    doc 'savio-relay check'
    doc 'systemctl reload savio-relay'
    cd /packages
    until_true 'journalctl -u savio-relay --no-pager | grep -F "applied mapping files: typeform is new"'
    send by-file "$(</etc/savio-relay/secrets/typeform)"
    doc 'openssl rand -hex 32 > /etc/savio-relay/secrets/typeform'
    doc 'systemctl reload savio-relay'
    until_true "$(post by-new-file "$(</etc/savio-relay/secrets/typeform)") | grep -F ' 202'"
    [[ $(main_pid) == "$before" ]] || fail 'should leave the process as it is'
}

watchdog() {
    local before
    drop_in watchdog <<'D'
[Service]
WatchdogSec=2
D
    before=$(main_pid)
    step "kill -STOP $before"
    until_true "journalctl -u savio-relay --no-pager | grep -F 'Watchdog timeout'"
    until_true "[[ \$(main_pid) != $before ]] && systemctl is-active savio-relay"
    # A relay that works says so again and again.
    until_true "systemctl show savio-relay --property=WatchdogTimestampMonotonic | tee said-at | grep -v '=0$'"
    until_true '! systemctl show savio-relay --property=WatchdogTimestampMonotonic | cmp - said-at'
    drop_in_ends watchdog
    send after-watchdog "$(</etc/savio-relay/secrets/typeform)"
    arrived after-watchdog
    step "kill -KILL $(main_pid)"
    until_true 'savio-relay healthcheck'
}

confinement() {
    step "cat /proc/$(main_pid)/status"
    says $'CapEff:\t0000000000000000'
    says $'CapBnd:\t0000000000000000'
    says $'NoNewPrivs:\t1'
    says $'Seccomp:\t2'
    step "grep 'open files' /proc/$(main_pid)/limits"
    says '16384'
    touch /root/of-root
    step "nsenter --target $(main_pid) --mount sh -c 'touch /etc/savio-relay/x /usr/bin/x /var/x; ls /root'"
    says_not 'of-root'
    says "'/etc/savio-relay/x': Read-only file system"
    says "'/usr/bin/x': Read-only file system"
    says "'/var/x': Read-only file system"
    # What is forbidden and was tried would be in the log.
    step "journalctl -u savio-relay --no-pager"
    says_not 'Operation not permitted'
    says_not 'SIGSYS'
    step "curl -sS -H \"Authorization: Bearer \$(cat /var/lib/savio-relay/admin-token)\" http://127.0.0.1:8081/metrics"
    says 'process_start_time_seconds'
    says 'process_resident_memory_bytes'
}

credentials() {
    install -m 0600 /dev/stdin /root/typeform <<<'a-secret-of-systemd'
    sed -i 's|^secrets .*|secrets = ["file:$CREDENTIALS_DIRECTORY/typeform"]|' /etc/savio-relay/mappings/typeform.toml
    drop_in credentials <<'D'
[Service]
LoadCredential=typeform:/root/typeform
D
    send by-credential a-secret-of-systemd
    arrived by-credential
    doc 'savio-relayctl doctor'
}

# The relay serves https itself, on port 443 and without Caddy, first with a key in a file and then with a credential.
https_without_a_proxy() {
    step 'systemctl stop caddy'
    doc 'mkdir -p /etc/systemd/system/savio-relay.service.d'
    doc 'cp /usr/share/doc/savio-relay/examples/ports-below-1024.conf /etc/systemd/system/savio-relay.service.d/'
    # That of Caddy's, with its chain.
    local issued=/var/lib/caddy/.local/share/caddy/certificates/local/relay.example.com/relay.example.com
    step "cp $issued.crt fullchain.pem && cp $issued.key privkey.pem"
    ends_with 0
    export RENEWED_LINEAGE=/packages
    doc 'install -m 0640 "$RENEWED_LINEAGE/fullchain.pem" "$RENEWED_LINEAGE/privkey.pem" /etc/savio-relay/secrets/'
    cp /etc/savio-relay/relay.toml behind-a-proxy.toml
    sed -i -e '/^trusted_proxies/d' -e 's/^\[server\]$/&\nlisten = "0.0.0.0:443"/' /etc/savio-relay/relay.toml
    printf '\n[server.tls]\ncert = "secrets/fullchain.pem"\nkey = "secrets/privkey.pem"\n' >>/etc/savio-relay/relay.toml
    restart
    send by-https a-secret-of-systemd
    arrived by-https
    doc 'savio-relayctl doctor'

    rm /etc/savio-relay/secrets/privkey.pem
    sed -i 's|"secrets/privkey.pem"|"$CREDENTIALS_DIRECTORY/key.pem"|' /etc/savio-relay/relay.toml
    drop_in key <<'D'
[Service]
LoadCredential=key.pem:/packages/privkey.pem
D
    send by-https-again a-secret-of-systemd
    arrived by-https-again

    cp behind-a-proxy.toml /etc/savio-relay/relay.toml
    rm /etc/systemd/system/savio-relay.service.d/ports-below-1024.conf
    drop_in_ends key
    step 'systemctl start caddy'
    ends_with 0
}

# A store in another folder, and a proxy for requests to Savio.
another_store() {
    echo 'SAVIO_RELAY_STORE__URL=sqlite:/srv/relay/relay.db' >>/etc/savio-relay/secrets.env
    step 'install -d -o savio-relay -g savio-relay /srv/relay'
    drop_in store <<'D'
[Service]
ReadWritePaths=/srv/relay
Environment=HTTPS_PROXY=http://proxy.example.com:3128
D
    send elsewhere a-secret-of-systemd
    arrived elsewhere
    step 'savio-relayctl events list'
    [[ $(grep -c typeform <<<"$output") == 1 ]] || fail 'should find one event in the other store'
    sed -i '/STORE__URL/d' /etc/savio-relay/secrets.env
    drop_in_ends store
}

backup_and_restore() {
    doc 'systemctl start savio-relay-backup'
    step 'ls -l /var/backups/savio-relay'
    says '-rw------- 1 savio-relay savio-relay'
    # The page says once that it is savio-relayctl with the package.
    step 'savio-relayctl backup "/var/backups/savio-relay/relay-$(date +%F).db"'
    ends_with 0
    doc 'systemctl enable --now savio-relay-backup.timer'
    step 'systemctl list-timers --no-pager savio-relay-backup.timer'
    says 'savio-relay-backup.service'

    send after-backup a-secret-of-systemd
    arrived after-backup
    doc 'systemctl stop savio-relay'
    doc 'cd /var/lib/savio-relay'
    doc 'rm -f relay.db-wal relay.db-shm'
    step 'cp "/var/backups/savio-relay/relay-$(date +%F).db" relay.db'
    doc 'systemctl start savio-relay'
    cd /packages
    step 'savio-relayctl events list'
    says 'typeform'
    send after-restore a-secret-of-systemd
    arrived after-restore
}

upgrade() {
    step 'systemctl stop savio'
    send waits-1 a-secret-of-systemd
    send waits-2 a-secret-of-systemd
    step 'savio-relayctl events list --state queued --json | grep -c "\"id\""'
    [[ $output == 2 ]] || fail 'should find 2 queued events'
    local before
    before=$(main_pid)
    step 'apt-get install ./next.deb'
    ends_with 0
    [[ $(main_pid) != "$before" && $(main_pid) != 0 ]] || fail 'should have restarted the service'
    step 'systemctl is-active savio-relay savio-relay-backup.timer'
    ends_with 0
    start_savio
    step 'savio-relayctl destinations probe'
    arrived waits-1
    arrived waits-2

    # Who has switched the service off finds it off after an upgrade.
    step 'systemctl disable --now savio-relay'
    step 'apt-get install --reinstall ./next.deb'
    ends_with 0
    step 'systemctl is-active savio-relay'
    says 'inactive'
    step 'systemctl enable --now savio-relay'
    ends_with 0
}

removal() {
    doc 'apt-get remove savio-relay'
    step 'ls /etc/savio-relay'
    says 'secrets.env'
    step 'systemctl is-active savio-relay savio-relay-backup.timer'
    says_not $'\nactive'
    [[ $output != active* ]] || fail 'should have stopped both'
    doc 'apt-get purge savio-relay'
    says '/var/lib/savio-relay is kept'
    step 'ls /etc/savio-relay /etc/systemd/system/multi-user.target.wants/savio-relay.service'
    ends_with 2
    step 'ls /var/lib/savio-relay'
    [[ $output == relay.db ]] || fail 'should list the store and nothing else'
}

# By hand, from the repository's folder, as on a system that has no packages of Debian.
without_the_package() {
    rm -r /var/lib/savio-relay /var/backups/savio-relay /etc/systemd/system/savio-relay.service.d
    # The shell remembers where savio-relayctl was.
    hash -r
    mkdir -p target/release
    dpkg-deb --fsys-tarfile next.deb | tar -x -C target/release --strip-components=3 ./usr/bin/savio-relay
    local line
    while read -r line; do
        doc "$line"
    done < <(sed -n '/^## Running with systemd/,/^systemctl enable/p' docs/operations.md | sed '1,/^```sh$/d')
    configure
    doc 'systemctl restart savio-relay'
    send by-hand a-secret
    arrived by-hand
    doc 'savio-relayctl doctor'
    step "$(sed -n '/^for unit in/,/^done/p' docs/operations.md)"
    ends_with 0
    doc 'systemctl daemon-reload'
    doc 'systemctl enable --now savio-relay-backup.timer'
    doc 'systemctl start savio-relay-backup'
    step 'ls /var/backups/savio-relay'
    says 'relay-'
}

case ${1:-} in
    inside) walk ;;
    *.deb) boot "$1" ;;
    *)
        printf 'Usage: tests/package-systemd.sh PACKAGE\n' >&2
        exit 2
        ;;
esac
