# What people type most. `just --list` shows it.

# Everything that CI checks.
check:
    .ci/run

# Relay and sandbox in one process, with a signed sample of each source.
demo:
    cargo run --release -- demo

# Rates, waits, processor time and memory under load; ten minutes.
load:
    cargo bench --bench load

# Mistakes in the shipped mapping files, and their tests.
mappings:
    cargo run -- check mappings/*.toml
