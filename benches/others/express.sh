#!/bin/sh
# Express and better-sqlite3; before the first run: (cd benches/others/express && npm install)
exec node "$(dirname "$0")/express/server.js"
