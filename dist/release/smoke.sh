#!/usr/bin/env bash
# Checks that a built program is what its tag says, and that it works: `--version` names version, commit and date, and
# every sample of `demo` is delivered.
#
# Usage: dist/release/smoke.sh VERSION COMMIT DATE PROGRAM...      (a program may have arguments, as `docker run IMAGE`)
set -euo pipefail
version=${1:?} commit=${2:?} date=${3:?}
shift 3

found=$("$@" --version)
printf '%s\n' "$found"
for expected in "savio-relay $version" "$commit" "$date"; do
    if [[ $found != *"$expected"* ]]; then
        printf 'smoke: --version should say "%s".\n' "$expected" >&2
        exit 1
    fi
done
"$@" demo --once
