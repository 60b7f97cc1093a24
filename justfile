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
