#!/usr/bin/env python3
"""What the streams of changes cost: CPU time of the relay at 100 events a second, delivered to the sandbox, without and with
200 clients of GET stream.

    cargo build --release && python3 benches/streams.py [CLIENTS [SECONDS]]
"""

import asyncio
import hashlib
import hmac
import os
import pathlib
import subprocess
import sys
import tempfile
import time

PROGRAM = pathlib.Path(os.environ.get("PROGRAM") or pathlib.Path(__file__).resolve().parent.parent / "target/release/savio-relay")
RATE = 100
SECRET = "a-secret-of-the-bench"
TOKEN = "a token of the benchmark"
MAPPING = """provider = "github"
secrets = ["env:FORM_SECRET"]

[[feedback]]
problem = "$.text"
person_email = "$.email"
"""


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def cpu_seconds(process):
    # The clock of the process, as `clock_getcpuclockid` names it: /proc counts ticks, and misses what is shorter.
    return time.clock_gettime((~process.pid << 3) | 2)


async def request(reader, writer, head, body=b""):
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = [line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    if length:
        await reader.readexactly(int(length[0].split(b":")[1]))
    return answer


async def post_webhooks(port, seconds):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.monotonic()
    for number in range(RATE * seconds):
        await asyncio.sleep(begun + number / RATE - time.monotonic())
        body = b'{"text":"The export is slow, for the %dth time","email":"ada%d@example.com"}' % (number, number)
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        head = (
            f"POST /hooks/form HTTP/1.1\r\nhost: relay\r\ncontent-type: application/json\r\n"
            f"x-github-event: ping-not\r\nx-github-delivery: {begun}-{number}\r\n"
            f"x-hub-signature-256: sha256={signature}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        answer = await request(reader, writer, head, body)
        assert answer.startswith(b"HTTP/1.1 202"), answer
    writer.close()


async def follow(port, counts):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    head = f"GET /api/v1/stream HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"), answer
    try:
        while chunk := await reader.read(2**16):
            counts["bytes"] += len(chunk)
            counts["resets"] += chunk.count(b"event: reset")
    finally:
        writer.close()


async def measure(relay, ports, clients, seconds):
    counts = {"bytes": 0, "resets": 0}
    following = [asyncio.create_task(follow(ports[1], counts)) for _ in range(clients)]
    await asyncio.sleep(2)
    begun, used = time.monotonic(), cpu_seconds(relay)
    await post_webhooks(ports[0], seconds)
    share = (cpu_seconds(relay) - used) / (time.monotonic() - begun)
    for task in following:
        task.cancel()
    ended = await asyncio.gather(*following, return_exceptions=True)
    assert all(isinstance(it, asyncio.CancelledError) for it in ended), ended
    assert not clients or counts["bytes"] > 0, "nothing was streamed"
    print(
        f"{clients:4} clients: {share:6.1%} of a core, {counts['bytes'] / seconds / max(clients, 1) / 1000:.0f} kB a second "
        f"to each, {counts['resets']} resets",
        flush=True,
    )
    return share


async def main():
    clients, seconds = ([int(it) for it in sys.argv[1:]] + [200, 20][len(sys.argv) - 1 :])[:2]
    with tempfile.TemporaryDirectory(dir=PROGRAM.parent) as folder:
        ports = [free_port() for _ in range(3)]
        pathlib.Path(folder, "mappings").mkdir()
        pathlib.Path(folder, "mappings/form.toml").write_text(MAPPING)
        environment = {
            "FORM_SECRET": SECRET,
            "ADMIN_TOKEN": TOKEN,
            "SAVIO_API_TOKEN": "made-up",
            "SAVIO_RELAY_SHIPPED_MAPPINGS": "false",
            "SAVIO_RELAY_SERVER__LISTEN": f"127.0.0.1:{ports[0]}",
            "SAVIO_RELAY_SERVER__ADMIN_LISTEN": f"127.0.0.1:{ports[1]}",
            "SAVIO_RELAY_SAVIO__BASE_URL": f"http://127.0.0.1:{ports[2]}/app/api/",
            "SAVIO_RELAY_LOG__LEVEL": "warn",
        }
        quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        sandbox = subprocess.Popen([PROGRAM, "sandbox", "--listen", f"127.0.0.1:{ports[2]}"], env={}, **quiet)
        relay = subprocess.Popen([PROGRAM, "serve"], env=environment, **quiet)
        try:
            await asyncio.sleep(2)
            await measure(relay, ports, 0, 5)
            without = await measure(relay, ports, 0, seconds)
            with_clients = await measure(relay, ports, clients, seconds)
            print(f"{clients} clients cost {with_clients - without:.1%} of a core")
        finally:
            for process in (relay, sandbox):
                process.terminate()
                process.wait()


asyncio.run(main())
