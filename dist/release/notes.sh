#!/usr/bin/env bash
# Prints the notes of a release: its section of CHANGELOG.md, and how to install it.
#
# Usage: dist/release/notes.sh VERSION REPOSITORY      (a repository as OWNER/NAME)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=${1:?the version, such as 0.1.0} repository=${2:?the repository, as OWNER/NAME}

# A release has no files of the repository beside it: links lead to those of its tag.
awk -v heading="## [$version]" '
    index($0, "## [") == 1 { inside = index($0, heading) == 1; next }
    inside' CHANGELOG.md | sed "s|](\([^):]*\))|](https://github.com/$repository/blob/v$version/\1)|g"
image=ghcr.io/${repository,,}:$version
releases=https://github.com/$repository/releases
cat <<END
### Install

\`\`\`sh
curl -fsSL $releases/download/v$version/install.sh | sh -s -- --version $version
docker pull $image
\`\`\`

or download a package or an archive below. To verify a file:

\`\`\`sh
sha256sum --ignore-missing --check SHA256SUMS
gh attestation verify FILE --repo $repository
\`\`\`
END
