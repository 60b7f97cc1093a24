#!/usr/bin/env bash
# Checks that CI passed for a commit, on the branch that has it: what CI said of a pull request is not about this commit.
#
# Usage: dist/release/passed.sh COMMIT      (needs GitHub's client, which may read the repository's actions)
set -euo pipefail
commit=${1:?the full hash of the commit}

passed=$(gh run list --commit "$commit" --workflow ci.yml --event push --status success --json url --jq '.[0].url // ""')
if [[ -z $passed ]]; then
    printf 'release: %s\n' "CI did not pass, or has not ended, for $commit." \
        "Wait for it, or correct what it found, and run the jobs of this release again." >&2
    exit 1
fi
printf 'CI passed: %s\n' "$passed"
