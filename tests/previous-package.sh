#!/usr/bin/env bash
# Makes the package of the version before, for the walk through an upgrade: of the last tag, or while there is none, of
# the last commit before there were packages. Prints its path as the last line.
#
# Usage: tests/previous-package.sh
#
# Only the program itself is compiled anew, and without optimization, since its dependencies are those of the release
# build, which should be there. A second run finds the package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

# Not the tag of the commit that is being released.
commit=$(git describe --tags --abbrev=0 HEAD^ 2>/dev/null || echo 2522d36c0021)
if ! hash=$(git rev-parse --verify --quiet "$commit^{commit}"); then
    printf 'The version before (%s) is not in this clone: git fetch --unshallow\n' "$commit" >&2
    exit 1
fi
package=$root/target/package/previous/$hash.deb

# In a subshell, for the trap.
build() (
    tree=$(mktemp -d)
    mkdir -p "$(dirname "$package")"
    trap 'git worktree remove --force "$tree"' EXIT
    git worktree add --quiet --detach "$tree" "$hash"
    # With a copy of the compiled dependencies. In a folder that both versions share, the program of this one would be built
    # with what the build script of that one wrote, since cargo takes one for the other.
    mkdir -p "$tree/target/release"
    for folder in deps build .fingerprint; do
        if [[ -d $root/target/release/$folder ]]; then cp -a "$root/target/release/$folder" "$tree/target/release/"; fi
    done
    find "$tree/target/release" -maxdepth 2 -name '*savio[-_]relay*' -exec rm -rf {} +
    # `$tree/.cargo` has to apply, so that the dependencies are built with the same options.
    (cd "$tree" && CARGO_TARGET_DIR="$tree/target" \
        cargo build --release --locked --bin savio-relay --config 'profile.release.package.savio-relay.opt-level=0')
    program=$tree/target/release/savio-relay
    # A version of before there were packages is packed as this one. `~` sorts before everything.
    packer=$tree/dist/package.sh
    [[ -x $packer ]] || packer=$root/dist/package.sh
    DPKG_DEB_COMPRESSOR_LEVEL=1 "$packer" "$program" '0.0.1~previous'
    mv "$(dirname "$packer")/../target/package/savio-relay_0.0.1~previous_"*.deb "$package"
)

if [[ ! -e $package ]]; then
    build >&2
fi
printf '%s\n' "$package"
