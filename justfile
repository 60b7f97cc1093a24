# Common commands; `just --list` shows them.

# Run everything that CI checks.
check:
    .ci/run

# Run relay and sandbox in one process and send a signed sample of each source.
demo:
    cargo run --release -- demo

# Measure throughput, latency, CPU time and memory under load (ten minutes).
load:
    cargo bench --bench load

# Check the bundled mapping files and run their tests.
mappings:
    cargo run -- check mappings/*.toml

# Build the image, and run it confined, under load and on a volume of somebody else (root).
image:
    cargo build --release --locked
    tests/image.sh

# Start dist/compose.yaml with Caddy, and nginx and Caddy as documented, and post webhooks to them by https (root).
compose-check:
    cargo build --release --locked
    tests/compose.sh
    tests/proxies.sh

# Make the Debian package and walk it through installation, upgrade, downgrade and purge (needs root and debootstrap).
package:
    cargo build --profile dist --locked
    rm -f target/package/*.deb
    dist/package.sh target/dist/savio-relay
    cargo build --release --locked
    tests/package.sh target/package/savio-relay_*.deb "$(tests/previous-package.sh)"

# Run the service of the package under systemd, in a Debian that boots in systemd-nspawn.
package-systemd-check: package
    tests/package-systemd.sh target/package/savio-relay_*.deb
