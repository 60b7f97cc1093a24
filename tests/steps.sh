#!/usr/bin/env bash
# Steps of the walks, which source this file and set `work`, a folder: a walk shows each command line that it runs, and ends
# at the first one that does not behave as a user would expect.

command_line="" output="" status=0

fail() {
    printf '%s\n\nFAILED: %s\nIt ended with status %s and the output above, and %s.\n' "$output" "$command_line" "$status" "$1" >&2
    exit 1
}

# Runs a command line and keeps its output and exit status.
step() {
    command_line=$1
    printf '$ %s\n' "$1"
    status=0
    # Not in a subshell, so that `export` holds.
    eval "$1" >"$work/output" 2>&1 || status=$?
    output=$(<"$work/output")
}

ends_with() { [[ $status == "$1" ]] || fail "should end with status $1"; }
says() { [[ $output == *"$1"* ]] || fail "should say: $1"; }
says_not() { [[ $output != *"$1"* ]] || fail "should not say: $1"; }

# Repeats a command line until it succeeds, for at most 30 seconds.
until_true() {
    command_line=$1
    printf '… %s\n' "$1"
    local attempt
    for (( attempt = 0; attempt < 300; attempt++ )); do
        if output=$(eval "$1" 2>&1); then return; fi
        sleep 0.1
    done
    fail "should succeed at last"
}
