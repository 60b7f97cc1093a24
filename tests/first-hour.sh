#!/usr/bin/env bash
# Walks the first hour of two new users, in fresh folders and with the documentation's own commands: a product
# manager connects Typeform and Intercom, and an engineer runs the relay and has the usual incidents. Savio is the
# sandbox. Fails at the first command that does not behave as a user would expect.
#
# Usage: tests/first-hour.sh [PROGRAM]      (default: target/release/savio-relay)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/tests/steps.sh"
program=$(realpath "${1:-$root/target/release/savio-relay}")

work=$(mktemp -d)
mkdir "$work/bin"
ln -s "$program" "$work/bin/savio-relay"
export PATH="$work/bin:$PATH" TZ=UTC LC_ALL=C.UTF-8
# Nothing of the caller's own relay.
unset SAVIO_API_TOKEN TYPEFORM_SECRET INTERCOM_SECRET FORM_SECRET "${!SAVIO_RELAY_@}"

started=()
end() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT

# Runs a command line that a page of the documentation shows.
doc() {
    local page=$1
    command_line=$2
    grep -qF -- "$2" "$root/$page" || fail "$page should show it"
    step "$2"
}

lines_at_most() { (( $(wc -l <<<"$output") <= $1 )) || fail "should say it in $1 lines"; }
columns_at_most() {
    local line
    while IFS= read -r line; do
        (( ${#line} <= $1 )) || fail "should have no line longer than $1  columns, such as: $line"
    done <<<"$output"
}

# Runs a command line on a terminal of 80 columns, and checks that it uses no more.
columns_at_most_on_a_terminal() {
    step "COLUMNS=$1 script -qec 'stty cols $1; $2' /dev/null | tr -d '\r' | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g'"
    columns_at_most "$1"
}

getting_started=docs/getting-started.md
operations=docs/operations.md

# Starts a command line in the background, with its output in LOG, until its log contains the text.
begin() {
    local log=$1 ready=$2
    command_line=$3
    printf '$ %s &\n' "$3"
    eval "exec $3" >"$log" 2>&1 &
    started+=($!)
    last_started=$!
    until_true "grep -qF -- '$ready' '$log'"
}

# Stops the process that was started last.
stop() {
    kill "$1"
    wait "$1" 2>/dev/null || true
}

api() { curl -sS -H "Authorization: Bearer $ADMIN_TOKEN" "http://127.0.0.1:8081/$1"; }

# --- A product manager: Typeform and Intercom, a change, a mistake, another tool, history ---

mkdir "$work/product" && cd "$work/product"

step 'savio-relay demo --once'
ends_with 0; lines_at_most 45; columns_at_most 80
says 'typeform          form_response        -> feedback'; says 'savio-relay init typeform'
step 'savio-relay demo typeform --once'
ends_with 0; says 'typeform-signature: sha256='; says "Arrived in Savio's sandbox"

doc $getting_started 'savio-relay init typeform'
ends_with 0; says 'mappings/typeform.toml: written'; says 'https://YOUR-RELAY/hooks/typeform'; says 'TYPEFORM_SECRET'
step 'savio-relay init typeform intercom'
ends_with 0; says 'relay.toml: kept, it exists'; says 'mappings/intercom.toml: written'
step 'savio-relay init typefrom'
ends_with 2; says "did you mean 'typeform'?"

begin sandbox.log 'http://127.0.0.1:9090' 'savio-relay sandbox'
doc $getting_started 'export SAVIO_RELAY_SAVIO__BASE_URL=http://127.0.0.1:9090/app/api/'
doc $getting_started 'export SAVIO_RELAY_STORE__URL=sqlite:practice.db'
doc $getting_started 'export SAVIO_API_TOKEN=anything'
doc $getting_started 'export TYPEFORM_SECRET=practice'
export INTERCOM_SECRET=practice-too ADMIN_TOKEN=an-admin-token-of-the-walk
begin relay.log 'listening on' 'savio-relay serve'
relay=$last_started
step 'cat relay.log'
says 'typeform  live  http://127.0.0.1:8080/hooks/typeform'; says 'more are ready: `savio-relay providers`'
lines_at_most 12

doc $getting_started 'savio-relay send typeform'
ends_with 0; says '202'
step 'savio-relay send intercom'
ends_with 0; says '202'
until_true 'curl -sS http://127.0.0.1:9090/sandbox/feedback | grep -q "What is missing"'
step 'TYPEFORM_SECRET=wrong savio-relay send typeform'
ends_with 1; says '401'; says 'Its log says why'
step 'env -u TYPEFORM_SECRET savio-relay send typeform'
ends_with 1; says 'this shell'; says 'TYPEFORM_SECRET'
step 'savio-relay send typeform --to http://127.0.0.1:8080'
ends_with 0; says 'http://127.0.0.1:8080/hooks/typeform'

# A file of another program in the folder, and a file that goes, switch nothing off.
step 'printf x > mappings/._form.toml; rm mappings/intercom.toml'
until_true 'grep -qF "intercom is gone from the folder, its bundled file applies" relay.log'
step 'savio-relay send intercom'
ends_with 0

# The first change, its test, and the first mistakes.
doc $getting_started 'savio-relay check'
ends_with 0
step "sed -i 's/^tags .*/tags = [\"survey\"]/' mappings/typeform.toml && grep -c survey mappings/typeform.toml"
ends_with 0
step 'savio-relay check'
ends_with 1; says '+ tags: ["survey"]'; says 'savio-relay check --update'
doc $getting_started 'savio-relay check --update'
ends_with 0; says 'wrote mappings/samples/typeform.form_response.expected.json'
step 'savio-relay check'
ends_with 0
step "sed -i 's/^provider .*/provider = \"typefrom\"/' mappings/typeform.toml; savio-relay check"
ends_with 1; says 'did you mean "typeform"?'
[[ $(grep -c '^error' <<<"$output") == 1 ]] || fail 'should show one error for one mistake'
until_true 'grep -q "reload rejected" relay.log'
step 'rm mappings/typeform.toml; savio-relay init typeform'
ends_with 0

step "sed -i 's/\"\$.form_response.hidden.account_id\"/\"form_response.hidden.account_id\"/' mappings/typeform.toml; savio-relay check"
ends_with 1; says 'warning: `form_response.hidden.account_id` is sent as this text'
step "sed -i '/^\[\[feedback\]\]/a state: \"NEW\"' mappings/typeform.toml; savio-relay check"
ends_with 1; says 'help: write state = "NEW"'
step 'rm mappings/typeform.toml; savio-relay init typeform'
ends_with 0

# Another tool, from one payload.
cat >payload.json <<'J'
{"id": "evt_1", "type": "idea.created", "createdAt": "2026-01-31T12:00:00Z",
 "owner": {"name": "Our Own", "email": "own@example.org"},
 "data": {"title": "Exports", "description": "We export the same report every Monday.",
          "author": {"name": "Ada Rossi", "email": "ada@example.com"}}}
J
doc $getting_started 'savio-relay draft payload.json --output mappings/acme.toml'
ends_with 0
step 'savio-relay check mappings/acme.toml'
ends_with 0
step 'savio-relay try acme payload.json'
ends_with 0; says 'ada@example.com'; says_not 'own@example.org'; says 'We export the same report'

# History.
printf '#,What is missing?,company,plan,Response Type\nr1,Faster,Example Ltd,free,completed\n' >typeform.csv
step 'savio-relay import typeform typeform.csv --dry-run'
ends_with 0; says 'columns: 1 question, hidden fields: company, plan'
printf 'message\none\none\ntwo\n' >form.csv
step 'savio-relay import form form.csv --dry-run'
says '2 events would be imported, 1 repeated'
step 'savio-relay import form form.csv'
ends_with 0; says '2 events imported, 1 repeated'
step 'savio-relay import form form.csv --dry-run'
says '0 events would be imported, 3 repeated'
printf 'sep=;\r\nmessage;email\r\nOne, two;a@example.com\r\n' >excel.csv
step 'savio-relay import form excel.csv --dry-run'
ends_with 0; says 'One, two'
printf 'message,email\nOne,"a@example.com\nTwo,\n' >open.csv
step 'savio-relay import form open.csv --dry-run'
ends_with 1; says 'open.csv:2: the quotation mark'
printf '{"message":' >cut.json
step 'SAVIO_API_TOKEN=anything timeout 20 savio-relay savio contacts list --base-url http://127.0.0.1:1/'
ends_with 3; says 'connection refused'
step 'savio-relay try form cut.json'
ends_with 1; says 'cut.json:1:11: not JSON'

# --- An engineer: settings, secrets, an outage of Savio, metrics, backup and restore ---

for process in "${started[@]}"; do stop "$process"; done
started=()
unset SAVIO_RELAY_STORE__URL SAVIO_API_TOKEN TYPEFORM_SECRET INTERCOM_SECRET
mkdir "$work/platform" && cd "$work/platform"

step 'SAVIO_RELAY_SERVER_LISTEN=127.0.0.1:1 savio-relay serve'
ends_with 1; says 'write SAVIO_RELAY_SERVER__LISTEN'
step 'SAVIO_RELAY_PORT=tcp://10.0.0.1:80 SAVIO_RELAY_SERVER__TRUSTED_PROXIES=127.0.0.1,10.0.0.0/8 savio-relay check'
ends_with 0
step 'SAVIO_RELAY_STORE__URL="sqlite:relay.db?cache=shared" savio-relay serve'
ends_with 1; says 'unknown parameter `cache`'
step 'SAVIO_API_TOKEN="$(printf "a\nb")" savio-relay serve'
ends_with 1; says 'SAVIO_API_TOKEN has a line break inside'
step 'mkdir relay.toml; savio-relay serve; rmdir relay.toml'
says 'relay.toml: it is a folder, not a file'
step 'savio-relay events list'
ends_with 1; says "there is no store relay.db in $PWD"; says 'savio-relay serve'

# Savio's token is in a file, the metrics have a token of their own, and Savio is down.
cat >relay.toml <<'T'
[savio]
base_url = "http://127.0.0.1:9090/app/api/"
token = "file:savio-token"

[[admin.tokens]]
name = "prometheus"
token = "env:METRICS_TOKEN"
role = "metrics"
T
printf 'a-revoked-token\n' >savio-token
export METRICS_TOKEN=the-metrics-token-of-the-walk
# Kubernetes and `echo` leave a line end.
export FORM_SECRET=$'the-secret-of-the-form\n'
begin relay.log 'listening on' 'savio-relay serve'
relay=$last_started
step 'savio-relay serve'
ends_with 3; says 'server.listen'
step 'savio-relay send form'
ends_with 0; says '202'
doc $operations 'savio-relay events list --state queued'
until_true 'savio-relay events list --state queued | grep -q "cannot be reached: connection refused"'
columns_at_most_on_a_terminal 80 'savio-relay events list'
doc $operations 'savio-relay destinations list'
ends_with 0; says 'connection refused'
doc $operations 'savio-relay sources list'
ends_with 0; says 'form'
step 'savio-relay doctor'
says 'cannot be reached'

begin sandbox.log 'http://127.0.0.1:9090' 'savio-relay sandbox --token the-new-token'
sandbox=$last_started
until_true 'savio-relay destinations list | grep -q paused'
step "printf 'the-new-token\\n' >savio-token; kill -HUP $relay"
until_true 'savio-relay events list --state delivered | grep -q form'
step 'savio-relay destinations pause'
ends_with 0
until_true 'savio-relay destinations list | grep -q paused'
step 'savio-relay destinations resume'
ends_with 0
step 'savio-relay destinations probe'
ends_with 0
step 'savio-relay sources pause form && savio-relay sources resume form'
ends_with 0

# A secret's file that is gone: the value that was read before counts.
step "rm savio-token; kill -HUP $relay"
until_true 'grep -q "the file savio-token does not exist; the value that was read before still counts" relay.log'
step 'savio-relay doctor'
says 'the running relay uses the value from before'; says 'send SIGHUP to the relay'
printf 'the-new-token' >savio-token

# Looking at events.
step "savio-relay events list --json | grep -o '\"id\": *\"[0-9a-f-]*' | head -1 | grep -o '[0-9a-f-]*$'"
id=$output
step "savio-relay events show ${id:0:18}"
ends_with 0; says "event $id"
step 'savio-relay events list --source frm'
ends_with 1; says 'did you mean form?'
begin tail.log 'form' 'savio-relay events tail'
stop "$last_started"

# What the scraper gets, and what it does not get.
scrape() { curl -sS -H "Authorization: Bearer $METRICS_TOKEN" "$@"; }
step 'scrape http://127.0.0.1:8081/api/v1/events'
says '"error":"forbidden"'
step 'scrape http://127.0.0.1:8081/metrics'
says 'savio_relay_build_info{'; says 'process_resident_memory_bytes'; says_not '# EOF'
step "scrape -H 'Accept: application/openmetrics-text' http://127.0.0.1:8081/metrics"
says '# EOF'
if command -v promtool >/dev/null; then
    step 'scrape http://127.0.0.1:8081/metrics | promtool check metrics'
    ends_with 0
fi
step 'api api/v1/events?stat=dead'
says 'unknown parameter `stat`'

# Backup and restore.
step 'cp relay.db incomplete.db; SAVIO_RELAY_STORE__URL=sqlite:incomplete.db savio-relay events list'
ends_with 3; says 'incomplete.db is incomplete'; says 'savio-relay backup'
step 'savio-relay backup backup.db'
ends_with 0; says 'To restore it'; says 'rm -f relay.db-wal relay.db-shm'
step 'savio-relay backup backup.db'
ends_with 1; says 'overwrites nothing'
stop "$relay"
doc $operations 'rm -f relay.db-wal relay.db-shm'
step 'cp backup.db relay.db'
begin relay.log 'listening on' 'savio-relay serve'
step 'savio-relay events list'
ends_with 0; says 'form'

printf '\nBoth first hours went as the documentation says.\n'
