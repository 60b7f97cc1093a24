#!/usr/bin/env bash
# Checks that a tag can be released: it is the version of Cargo.toml, CHANGELOG.md has a dated section for it, and its commit
# was merged.
# Prints what the other steps of the release need, as lines NAME=VALUE.
#
# Usage: dist/release/check.sh TAG      (with the tag checked out)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tag=${1:?the tag to release, such as v0.1.0}

fail() {
    printf 'release: %s\n' "$@" >&2
    exit 1
}

version=$(sed -n '/^\[package\]/,/^\[dependencies\]/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
if [[ $tag != "v$version" ]]; then
    fail "The tag is $tag, and Cargo.toml has version $version." "Tag v$version, or change the version in Cargo.toml and Cargo.lock."
fi

heading=$(grep -F "## [$version]" CHANGELOG.md) || fail "CHANGELOG.md has no section \"## [$version] - DATE\"."
if ! [[ $heading =~ ^"## [$version] - "[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]]; then
    fail "CHANGELOG.md has \"$heading\"." "A release needs its date: \"## [$version] - $(date +%F)\"."
fi

# Not every commit that somebody can push: what is merged was reviewed.
branch=$(git for-each-ref --contains HEAD --format='%(refname:short)' refs/remotes/origin/main 'refs/remotes/origin/release/*')
[[ -n $branch ]] || fail "The commit of $tag is neither on origin/main nor on a branch origin/release/*." "Merge it, and tag what was merged."

# A version with a suffix, such as 0.2.0-rc.1, is tried by those who ask for it. A correction of an older line is not
# the latest version either.
prerelease=false latest=true
if [[ $version == *-* ]]; then
    prerelease=true latest=false
elif [[ $( (git tag --list 'v*' | grep -v -e - || true; echo "$tag") | sort --version-sort | tail -n 1) != "$tag" ]]; then
    latest=false
fi

images=()
for name in rust runtime frontend buildkit sbom; do
    image=$(sed -n "s/^FROM \([^ ]*@sha256:[0-9a-f]\{64\}\) AS $name\$/\1/p" dist/release/Dockerfile)
    [[ -n $image ]] || fail "dist/release/Dockerfile has no image \"$name\" with a digest."
    images+=("${name}_image=$image")
done
# The number in its tag.
rust_version=$(sed -n 's/.*rust:\([0-9.]*\)-.*/\1/p' <<<"${images[0]}")

# The day in UTC, as a build from the repository finds it.
date=$(TZ=UTC git show --no-patch --format=%cd --date=format-local:%F HEAD)
printf '%s\n' "version=$version" "commit=$(git rev-parse --short=12 HEAD)" "date=$date" \
    "prerelease=$prerelease" "latest=$latest" "rust_version=$rust_version" "${images[@]}"
