'use strict';
// A webhook relay as its author would write it by hand, to compare the relay with: `npm install` here, then
//     cargo bench --bench load -- --other "Express,/hooks/,$PWD/benches/others/express.sh"
const crypto = require('node:crypto');
const express = require('express');
const Database = require('better-sqlite3');

const PORT = Number(process.env.PORT);
const SINK = `http://${process.env.SINK}/`;
const SECRET = process.env.SECRET || 'made-up-secret-of-the-load-tool';
const CONCURRENCY = 64, MAX_ATTEMPTS = 12, TIMEOUT_MS = 30_000;

// --- storage -----------------------------------------------------------------
const db = new Database('relay.db');
db.pragma('journal_mode = WAL');
db.pragma('synchronous = FULL'); // fsync of the WAL at every commit
db.exec(`
  CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    event_type TEXT,
    body BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',   -- pending, sending, delivered, dead
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    UNIQUE (source, delivery_id)
  );
  CREATE INDEX IF NOT EXISTS event_due ON event (next_at) WHERE state = 'pending';
`);
const insert = db.prepare(`INSERT INTO event (source, delivery_id, event_type, body, next_at, received_at)
  VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (source, delivery_id) DO NOTHING`);
const due = db.prepare(`SELECT id, source, delivery_id, event_type, body, attempts FROM event
  WHERE state = 'pending' AND next_at <= ? ORDER BY next_at LIMIT ?`);
const nextDue = db.prepare(`SELECT min(next_at) AS at FROM event WHERE state = 'pending'`);
const setSending = db.prepare(`UPDATE event SET state = 'sending', attempts = attempts + 1 WHERE id = ?`);
const setDelivered = db.prepare(`UPDATE event SET state = 'delivered' WHERE id = ?`);
const setFailed = db.prepare(`UPDATE event SET state = ?, next_at = ? WHERE id = ?`);
// Claims all rows that fit in the free slots in one transaction.
const claim = db.transaction((limit) => {
  const rows = due.all(Date.now(), limit);
  for (const row of rows) setSending.run(row.id);
  return rows;
});
// Whatever was in flight when the process last died is sent again.
db.exec(`UPDATE event SET state = 'pending' WHERE state = 'sending'`);

// --- intake ------------------------------------------------------------------
function verified(body, header, encoding) {
  const expected = Buffer.from('sha256=' + crypto.createHmac('sha256', SECRET).update(body).digest(encoding));
  const given = Buffer.from(header || '');
  return given.length === expected.length && crypto.timingSafeEqual(given, expected);
}
function store(res, source, deliveryId, type, body) {
  const now = Date.now();
  const { changes } = insert.run(source, deliveryId, type, body, now, now);
  res.status(202).json({ accepted: true, duplicate: changes === 0 });
  if (changes) wake();
}
const app = express();
app.disable('x-powered-by');
app.use('/hooks', express.raw({ type: '*/*', limit: '5mb' }));
app.post('/hooks/github', (req, res) => {
  if (!Buffer.isBuffer(req.body)) return res.status(400).json({ error: 'empty body' });
  if (!verified(req.body, req.get('X-Hub-Signature-256'), 'hex')) return res.status(401).json({ error: 'bad signature' });
  const id = req.get('X-GitHub-Delivery');
  if (!id) return res.status(400).json({ error: 'no delivery id' });
  store(res, 'github', id, req.get('X-GitHub-Event') || null, req.body);
});
app.post('/hooks/typeform', (req, res) => {
  if (!Buffer.isBuffer(req.body)) return res.status(400).json({ error: 'empty body' });
  if (!verified(req.body, req.get('Typeform-Signature'), 'base64')) return res.status(401).json({ error: 'bad signature' });
  let event;
  try { event = JSON.parse(req.body); } catch { return res.status(400).json({ error: 'bad JSON' }); }
  if (typeof event?.event_id !== 'string') return res.status(400).json({ error: 'no event_id' });
  store(res, 'typeform', event.event_id, event.event_type || null, req.body);
});

// --- delivery ----------------------------------------------------------------
let inFlight = 0, woken = false, timer = null;
function wake() {
  if (woken || inFlight >= CONCURRENCY) return;
  woken = true;
  setImmediate(pump);
}
function pump() {
  woken = false;
  clearTimeout(timer);
  for (const row of claim(CONCURRENCY - inFlight)) { inFlight++; deliver(row); }
  const at = inFlight < CONCURRENCY ? nextDue.get().at : null;
  if (at !== null) timer = setTimeout(wake, Math.min(Math.max(at - Date.now(), 0), 60_000));
}
async function deliver(row) {
  try {
    const res = await fetch(SINK, {
      method: 'POST', body: row.body, signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { 'Content-Type': 'application/json', 'X-Source': row.source,
        'X-Delivery-Id': row.delivery_id, 'X-Event-Type': row.event_type || '' },
    });
    await res.arrayBuffer(); // read to the end so that undici reuses the connection
    if (!res.ok) throw new Error(`status ${res.status}`);
    setDelivered.run(row.id);
  } catch {
    const n = row.attempts + 1; // 1 s, 2 s, 4 s ... at most 5 min, with jitter
    const delay = Math.min(1000 * 2 ** (n - 1), 300_000) * (0.75 + Math.random() / 2);
    setFailed.run(n >= MAX_ATTEMPTS ? 'dead' : 'pending', Math.round(Date.now() + delay), row.id);
  } finally {
    inFlight--;
    wake();
  }
}
app.listen(PORT, '127.0.0.1', (err) => { if (err) throw err; wake(); });
