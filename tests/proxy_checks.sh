# shellcheck shell=bash
#
# For the tests of reverse proxies, which read it with `source`, after containers.sh: what a proxy in front of the relay must
# do and must leave alone, asked by a client in a network namespace of its own. Set before `check_proxy`:
#   proxy_address   where the client finds the proxy
#   certificates    a file with the certificate that the proxy's own is signed by
#   log_of_relay    a function that prints the relay's log

# shellcheck disable=SC2154 # set by containers.sh and the test

domain=relay.example.com
typeform_secret=practice-typeform-secret trello_secret=practice-trello-secret
client_address=198.51.100.9 router_address=198.51.100.1
client_namespace=$namespace-client

# Makes a client on a network of its own, for which $namespace is the router.
begin_client() {
    ip netns add "$client_namespace"
    at_end+=("ip netns del $client_namespace")
    ip -n "$namespace" link add client type veth peer name eth0 netns "$client_namespace"
    ip -n "$namespace" address add "$router_address/24" dev client
    ip -n "$namespace" link set client up
    ip -n "$client_namespace" address add "$client_address/24" dev eth0
    ip -n "$client_namespace" link set eth0 up
    ip -n "$client_namespace" link set lo up
    ip -n "$client_namespace" route add default via "$router_address"
}

# Asks as the client, and prints the status.
ask() {
    nsenter "--net=/run/netns/$client_namespace" curl --silent --show-error --max-time 30 --cacert "$certificates" --noproxy '*' \
        --resolve "$domain:443:$proxy_address" --resolve "$domain:80:$proxy_address" --output "$work/answer" \
        --write-out '%{http_code}' "$@"
}

expect() {
    local expected=$1 status=0 found
    shift
    found=$(ask "$@") || status=$?
    [[ $found == "$expected" ]] || { cat "$work/answer" 2>/dev/null; fail "curl $* should be answered $expected, not $found (curl: $status)"; }
}

signature() { openssl dgst "-$1" -hmac "$2" -binary "$3" | base64; }

# Posts a file as Typeform does.
expect_typeform() {
    local expected=$1 file=$2
    shift 2
    expect "$expected" "https://$domain/hooks/typeform" --header "Typeform-Signature: sha256=$(signature sha256 "$typeform_secret" "$file")" \
        --header 'Content-Type: application/json' --data-binary "@$file" "$@"
}

# Writes a webhook of this size, with text that a proxy that parses it would change.
write_typeform() {
    python3 - "$@" <<'P'
import sys
name, size = sys.argv[1], int(sys.argv[2])
head = ('{ "event_id":"%s",\r\n\t"event_type" : "form_response", "form_response": {"token": "t", "a": 1.0e0, "a": 1.00},'
        ' "text": "é ü \\u00e9 \\/ 日本 <&> ' % name.rpartition("/")[2]).encode()
tail = b'" }\r\n \n'
open(name, "wb").write(head + b"x" * (size - len(head) - len(tail)) + tail)
P
}

last_client() { log_of_relay 2>&1 | grep 'accepted a webhook for typeform' | tail -1 | grep -o 'client=[^ ]*'; }
expect_client() {
    local found
    found=$(last_client)
    [[ $found == "client=$client_address" ]] || fail "the relay should log client=$client_address, not $found"
}

# Checks a proxy that forwards /hooks/ and nothing else.
check_proxy() {
    local body_bytes_max header path
    body_bytes_max=$(sed -n 's/^#body_bytes_max = //p' "$root/relay.example.toml")
    expect 404 "https://$domain/hooks/unknown" --data x
    write_typeform "$work/small" 1000
    expect_typeform 202 "$work/small"
    expect_client
    say "a signed webhook by https is accepted, from $(last_client)"

    write_typeform "$work/spoofed" 1000
    expect_typeform 202 "$work/spoofed" --header 'X-Forwarded-For: 203.0.113.7, 10.0.0.1' --header 'X-Real-IP: 203.0.113.7' \
        --header 'Forwarded: for=203.0.113.7' --header 'X-Forwarded-For: 127.0.0.1'
    expect_client
    say 'an X-Forwarded-For that the sender wrote counts for nothing'

    write_typeform "$work/large" "$body_bytes_max"
    expect_typeform 202 "$work/large"
    write_typeform "$work/chunked" "$body_bytes_max"
    expect_typeform 202 "$work/chunked" --header 'Transfer-Encoding: chunked'
    write_typeform "$work/gzip" 100000
    gzip --force "$work/gzip"
    expect_typeform 202 "$work/gzip.gz" --header 'Content-Encoding: gzip'
    write_typeform "$work/larger" $((body_bytes_max + 1))
    expect_typeform 413 "$work/larger"
    say "a body of $body_bytes_max bytes and a compressed one come through as they are; a larger one is answered 413"

    # Trello signs the URL: as it was sent, and not decoded and encoded again.
    printf '{"action":{"id":"a1","type":"createCard"}}' >"$work/trello"
    path='/hooks/trello?empty=&b=a%20b+c&a=%2f;x&unicode=%C3%A9&twice=1&twice=2'
    printf '%s%s' "$(<"$work/trello")" "https://$domain$path" >"$work/signed"
    header="X-Trello-Webhook: $(signature sha1 "$trello_secret" "$work/signed")"
    expect 202 "https://$domain$path" --header "$header" --header 'Content-Type: application/json' --data-binary "@$work/trello"
    expect 401 "https://$domain$path&more" --header "$header" --header 'Content-Type: application/json' --data-binary "@$work/trello"
    expect 200 --head "https://$domain/hooks/trello"
    say 'path and query come through as they are'

    expect 308 "http://$domain/hooks/typeform" --data x
    say 'http is redirected to https'
}

# Checks that nothing but /hooks/ is public.
check_only_hooks() {
    local path status port
    for path in / /metrics /api/v1/events /healthz /readyz /hooks /hooks/../metrics /hooks/%2e%2e/readyz '/hooks/..;/readyz' //readyz; do
        status=$(ask --path-as-is "https://$domain$path")
        # nginx redirects /hooks to /hooks/.
        [[ $status == 404 || $status == 400 || ( $status == 301 && $path == /hooks ) ]] || { cat "$work/answer"; fail "https://$domain$path should not be there, but is answered $status"; }
    done
    for port in 8080 8081 2019; do
        if ask --max-time 3 "http://$proxy_address:$port/readyz" >"$work/port" 2>&1; then fail "port $port should not be public"; fi
    done
    say '/metrics, /api and the health of the relay are not public'
}
