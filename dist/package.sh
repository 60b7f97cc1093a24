#!/usr/bin/env bash
# Makes the Debian package of a program that is already built, so that CI, `just package` and a release each choose
# the profile. debhelper writes the maintainer scripts and computes the dependencies: it is the tool whose results
# Debian's users expect (units that stay disabled, a restart at the upgrade, nothing run in a chroot). cargo-deb imitates
# it, and takes minutes to compile in CI.
#
# The package is the same for the same program and commit.
#
# Usage: dist/package.sh PROGRAM [VERSION]      (default: the version of Cargo.toml; writes to target/package)
#
# The program must run on the machine that makes the package, which has: apt-get install debhelper
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if (( $# < 1 || $# > 2 )); then
    printf 'Usage: dist/package.sh PROGRAM [VERSION]\n' >&2
    exit 2
fi
program=$(realpath "$1")
version=${2:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -1)-1}
output=$root/target/package

if ! command -v dh >/dev/null; then
    printf 'debhelper is not installed: apt-get install debhelper\n' >&2
    exit 1
fi

# The times of all files in the package: that of the commit, or now if there is no repository.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

mkdir -p "$output"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
tree=$stage/savio-relay
mkdir -p "$tree"/{debian/source,completions,mappings,sysusers.d}

cd "$root"
install -m 0755 "$program" "$tree/savio-relay"
for shell in bash:savio-relay zsh:_savio-relay fish:savio-relay.fish; do
    "$tree/savio-relay" completions "${shell%%:*}" >"$tree/completions/${shell#*:}"
done
cp -r README.md CHANGELOG.md docs relay.example.toml dist/ports-below-1024.conf "$tree"
cp dist/debian/{relay.toml,secrets.env,savio-relayctl,savio-relay.1,savio-relayctl.8} "$tree"
cp dist/debian/mappings.README "$tree/mappings/README"
cp dist/savio-relay.sysusers "$tree/sysusers.d/savio-relay.conf"

cp dist/debian/{control,copyright,rules,install,docs,examples,manpages,lintian-overrides} "$tree/debian"
cp dist/debian/{postinst,prerm,postrm} "$tree/debian"
cp dist/savio-relay.service "$tree/debian/savio-relay.service"
for unit in service timer; do
    cp "dist/savio-relay-backup.$unit" "$tree/debian/savio-relay.savio-relay-backup.$unit"
done
echo '3.0 (quilt)' >"$tree/debian/source/format"
cat >"$tree/debian/changelog" <<CHANGES
savio-relay ($version) unstable; urgency=medium

  * See changelog.gz beside this file.

 -- The savio-relay authors <maintainers@example.com>  $(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
CHANGES

cd "$tree"
if ! dpkg-buildpackage --build=binary --no-sign --no-check-builddeps >"$stage/log" 2>&1; then
    cat "$stage/log" >&2
    printf 'dpkg-buildpackage failed, with the output above\n' >&2
    exit 1
fi
package=("$stage"/savio-relay_*.deb)
cp "${package[0]}" "$output/"
printf '%s\n' "target/package/$(basename "${package[0]}")"
