#!/usr/bin/env bash
# Writes the list of all crates that are compiled into the program, on any platform, as CycloneDX (SBOM).
#
# Usage: dist/release/sbom.sh FILE      (needs cargo-cyclonedx)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
file=${1:?the file to write, such as built/savio-relay-0.1.0.cdx.json}
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)

# It writes beside Cargo.toml only.
trap 'rm -f sbom.json' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --target all --no-build-deps --override-filename sbom
mkdir -p "$(dirname "$file")"
mv sbom.json "$file"
