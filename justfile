# What people type most. `just --list` shows it.

# Everything that CI checks.
check:
    .ci/run

# Relay and sandbox in one process, with a signed sample of each source.
demo:
    cargo run --release -- demo

# Mistakes in the shipped mapping files, and their tests.
mappings:
    cargo run -- check mappings/*.toml
