#!/bin/sh
# qhook 0.6.1, at /webhooks/; before the first run: cargo install qhook --version 0.6.1 --locked
# It cannot verify Typeform's form of a signature, so that source is accepted unverified. Limits that would refuse the
# load are raised, and it delivers as many at a time as the relay.
cat > qhook.yaml <<YAML
database:
  driver: sqlite
server:
  port: $PORT
  allow_private_urls: true # the stand-in for Savio is on this machine
  max_inbound: 10000
worker:
  max_concurrency: 64
  batch_size: 64
sources:
  github:
    type: webhook
    verify: github
    secret: made-up-secret-of-the-load-tool
  typeform:
    type: webhook
handlers:
  github-sink:
    source: github
    url: http://$SINK/
  typeform-sink:
    source: typeform
    url: http://$SINK/
    idempotency_key: "$.event_id"
YAML
export RUST_LOG=warn
exec qhook start --config qhook.yaml
