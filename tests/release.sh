#!/usr/bin/env bash
# Runs the scripts of dist/release in a copy of the repository: what may be released, the notes, and the files.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

output="" status=0 what=""
fail() {
    printf '%s\n\nFAILED: %s\nIt ended with status %s and the output above, and %s.\n' "$output" "$what" "$status" "$1" >&2
    exit 1
}
step() {
    what=$*
    printf '$ %s\n' "${what//"$work"\//}"
    status=0
    output=$("$@" 2>&1) || status=$?
}
says() { [[ $'\n'$output$'\n' == *"$1"* ]] || fail "should say: $1"; }
succeeds() { [[ $status == 0 ]] || fail 'should succeed'; }
refuses() {
    [[ $status == 1 ]] || fail 'should end with status 1'
    says "$1"
}

# The files as they are, in a repository of their own with a release of the version.
repository=$work/repository
mkdir "$repository"
cp -r "$root"/{Cargo.toml,CHANGELOG.md,README.md,LICENSE,relay.example.toml,dist} "$repository/"
cd "$repository"
version=9.8.7
sed -i "0,/^version = .*/s//version = \"$version\"/" Cargo.toml
printf '# Changelog\n\n## [%s] - 2026-12-01\n\n### Added\n\n- Something ([limits](docs/limits.md), [other](https://example.com)).\n\n## [0.0.1] - 2020-01-01\n\n- Older.\n' "$version" >CHANGELOG.md
git init --quiet
# It is the next day in UTC.
export GIT_AUTHOR_DATE='2026-11-30T22:00:00-0500' GIT_COMMITTER_DATE='2026-11-30T22:00:00-0500'
commit() { git add . && git -c user.name=Test -c user.email=test@example.com commit --quiet --message "$1"; }
commit 'Release'
git tag "v$version"

step dist/release/check.sh "v$version"
refuses "The commit of v$version is neither on origin/main nor on a branch origin/release/*."
git update-ref refs/remotes/origin/other HEAD
step dist/release/check.sh "v$version"
refuses 'Merge it, and tag what was merged.'
git update-ref refs/remotes/origin/release/9.8 HEAD
step dist/release/check.sh "v$version"
succeeds
git update-ref -d refs/remotes/origin/release/9.8
git update-ref refs/remotes/origin/main HEAD
step dist/release/check.sh "v$version"
succeeds
says $'\n'"version=$version"$'\n'
says $'\n'"commit=$(git rev-parse --short=12 HEAD)"$'\n'
says $'\ndate=2026-12-01\n'
says $'\nprerelease=false\nlatest=true\n'
rust_version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
pinned=$(sed -n 's/^rust_version=//p' <<<"$output")
[[ $(printf '%s\n' "$rust_version" "$pinned" | sort --version-sort | head -n 1) == "$rust_version" ]] \
    || fail "should have an image with Rust $rust_version or newer"
for image in rust runtime frontend buildkit sbom; do
    [[ $output =~ $'\n'${image}_image=[a-z0-9./:-]+@sha256:[0-9a-f]{64} ]] || fail "should name the $image image"
done

step dist/release/check.sh v9.8.8
refuses 'The tag is v9.8.8, and Cargo.toml has version 9.8.7.'

git tag v9.9.0-rc.1
step dist/release/check.sh "v$version"
says $'\nlatest=true\n'
git tag v9.10.0
step dist/release/check.sh "v$version"
says $'\nprerelease=false\nlatest=false\n'

sed -i "s/^## \[$version\] .*/## [$version] - unreleased/" CHANGELOG.md
step dist/release/check.sh "v$version"
refuses 'CHANGELOG.md has "## [9.8.7] - unreleased".'
sed -i "s/^version = \"$version\"/version = \"10.0.0-rc.1\"/" Cargo.toml
step dist/release/check.sh v10.0.0-rc.1
refuses 'CHANGELOG.md has no section "## [10.0.0-rc.1] - DATE".'
sed -i 's/^## \[9.8.7\] .*/## [10.0.0-rc.1] - 2026-12-02/' CHANGELOG.md
step dist/release/check.sh v10.0.0-rc.1
succeeds
says $'\nprerelease=true\nlatest=false\n'
sed -i '/ AS runtime$/s/@sha256:.*/ AS runtime/' dist/release/Dockerfile
step dist/release/check.sh v10.0.0-rc.1
refuses 'dist/release/Dockerfile has no image "runtime" with a digest.'
git checkout --quiet .

# GitHub's client, which knows one run of CI: a push of this commit that passed.
mkdir "$work/github"
cat >"$work/github/gh" <<'GH'
#!/bin/sh
case "$*" in
    "run list --commit $PASSED --workflow ci.yml --event push --status success "*) echo https://example.com/run/1 ;;
    "run list "*) ;;
    *) echo "unknown command: $*" >&2; exit 1 ;;
esac
GH
chmod 755 "$work/github/gh"
passed() { PATH=$work/github:$PATH PASSED=$1 dist/release/passed.sh "$2"; }
head=$(git rev-parse HEAD)
step passed "$head" "$head"
succeeds
says 'CI passed: https://example.com/run/1'
step passed another "$head"
refuses "CI did not pass, or has not ended, for $head."

step dist/release/notes.sh "$version" example/example
succeeds
says "- Something ([limits](https://github.com/example/example/blob/v$version/docs/limits.md), [other](https://example.com))."
says 'gh attestation verify FILE --repo example/example'
[[ $output != *Older* && $output != *"## [$version]"* ]] || fail 'should have this section only'

# Any program of this system stands in: what is in the archives does not depend on it.
target=$(uname -m)-unknown-linux-gnu
for name in "$target" aarch64-apple-darwin; do
    install -D -m 644 "$(type -P true)" "$work/built/$name/savio-relay"
done
image=registry.example.com/example:$version
echo package >"$work/built/example.deb"
step dist/release/assemble.sh "$version" "$work/built" "$work/first" https://example.com/example/releases/ "$image"
succeeds
step dist/release/assemble.sh "$version" "$work/built" "$work/second" https://example.com/example/releases "$image"
succeeds
step diff -r "$work/first" "$work/second"
succeeds
step bash -c "cd '$work/first' && sha256sum --check SHA256SUMS"
succeeds
for file in example.deb install.sh "savio-relay-$version-$target.tar.gz" "savio-relay-$version-aarch64-apple-darwin.tar.gz"; do
    says $'\n'"$file: OK"$'\n'
done
step tar -tvzf "$work/first/savio-relay-$version-aarch64-apple-darwin.tar.gz"
for file in README.md LICENSE CHANGELOG.md relay.example.toml completions/_savio-relay; do says "/$file"$'\n'; done
[[ $output =~ -rwxr-xr-x[^$'\n']*/savio-relay$'\n' || $output =~ -rwxr-xr-x[^$'\n']*/savio-relay$ ]] || fail 'should have the program, executable'
step tar -tvzf "$work/first/savio-relay-$version-$target.tar.gz"
grep -o '[ (`]dist/[a-z][a-z0-9./-]*' "$root/docs/operations.md" | cut -c 2- | grep -v compose >"$work/named"
[[ $(wc -l <"$work/named") -ge 6 ]] || fail 'should have what docs/operations.md names, which names too little to see'
while read -r file; do says "/$file"$'\n'; done <"$work/named"
step tar -xzf "$work/first/savio-relay-$version-compose.tar.gz" -C "$work"
succeeds
step cat "$work/savio-relay-$version-compose"/{.env.example,compose.yaml,Caddyfile}
says $'\n'"RELAY_IMAGE=$image"$'\n'
[[ $output != *build:* ]] || fail 'should not build the image'
step grep -c "^releases='https://example.com/example/releases'\$" "$work/first/install.sh"
succeeds

sed -i 's/^glibc_min=.*/glibc_min=2.2.1/' dist/install.sh
step dist/release/assemble.sh "$version" "$work/built" "$work/third" https://example.com/example/releases "$image"
refuses 'and install.sh says 2.2.1.'
printf 'The scripts of a release did what they should, in %s s.\n' "$SECONDS"
