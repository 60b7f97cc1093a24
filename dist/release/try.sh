#!/usr/bin/env bash
# Installs a release from its files, as a user would, and runs what was installed.
#
# Usage: dist/release/try.sh VERSION FOLDER      (the folder that assemble.sh wrote)
set -euo pipefail
version=${1:?the version} folder=$(realpath "${2:?the folder with the files}")
work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

# The server lays them where a forge has them.
mkdir -p "$work/site/download" "$work/site/latest"
ln -s "$folder" "$work/site/download/v$version"
ln -s "$folder" "$work/site/latest/download"
mkfifo "$work/port"
python3 -u -c '
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_port)
server.serve_forever()' "$work/site" >"$work/port" 2>"$work/requests" &
server=$!
read -r port <"$work/port"

(cd "$folder" && sha256sum --quiet --check SHA256SUMS)
sh "$folder/install.sh" --url "http://127.0.0.1:$port" --prefix "$work/prefix"
"$work/prefix/bin/savio-relay" --version | grep -F "savio-relay $version"
"$work/prefix/bin/savio-relay" demo --once >/dev/null
echo "The files of $version install, and the demo works."
