"""Posts webhooks that cost a relay as much memory as one may: bodies of 5 MiB, signed as Typeform signs, of three kinds,
from many connections at a time.

Usage: container_load.py URL SECRET ROUNDS      (ROUNDS: a number, or `until-refused`: until the relay stops)

Fails if a round has an answer other than 202, 413 (too much memory when parsed) and 503 (no room now), or if a relay that
runs accepts none. A connection may be refused or closed, as by a relay that stops, but not in the first round.
"""

import base64
import collections
import hashlib
import hmac
import http.client
import itertools
import os
import sys
import threading
import urllib.parse

BODY_BYTES = 5 * 1024 * 1024
# 40 bodies of 5 MiB are more than the relay has room for at the same time.
CONNECTIONS = 40


def body(kind, number):
    """Returns a webhook: accepted and large, too large when parsed, or as large as it may be when parsed."""
    content, share = [(b'"a text"', 1), (b"[0]", 1), (b'{"a":0}', 3)][kind]
    # Another run is no repetition of this one.
    name = b"%d-%d" % (os.getpid(), number)
    head = (
        b'{"event_id":"%s","event_type":"form_response","form_response":{"token":"%s","definition":{"fields":'
        b'[{"id":"f","type":"long_text","title":"What is missing?"}]},"answers":[{"type":"text","text":"Exports, please.",'
        b'"field":{"id":"f","type":"long_text"}}]},"rest":[' % (name, name)
    )
    tail = b"]}"
    count = (BODY_BYTES // share - len(head) - len(tail)) // (len(content) + 1)
    return head + b",".join([content] * count) + tail


def webhook(secret, number):
    payload = body(number % 3, number)
    signature = base64.b64encode(hmac.new(secret, payload, hashlib.sha256).digest()).decode()
    return payload, {"Content-Type": "application/json", "Typeform-Signature": f"sha256={signature}"}


def post(address, path, payload, headers, answers):
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", path, payload, headers)
        answers.append(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        answers.append(type(error).__name__)
    finally:
        connection.close()


def main():
    url, secret = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2].encode()
    rounds = itertools.count() if sys.argv[3] == "until-refused" else range(int(sys.argv[3]))
    total = collections.Counter()
    for number in rounds:
        # Made beforehand: only one thread of Python computes at a time, and the connections must be open together.
        webhooks = [webhook(secret, number * CONNECTIONS + it) for it in range(CONNECTIONS)]
        answers = []
        threads = [threading.Thread(target=post, args=(url.netloc, url.path, *it, answers)) for it in webhooks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(answers) != CONNECTIONS:
            sys.exit(f"{CONNECTIONS - len(answers)} webhooks were not posted")
        wrong = [answer for answer in answers if isinstance(answer, int) and answer not in (202, 413, 503)]
        if wrong:
            sys.exit(f"answered {wrong}")
        if number == 0 and 202 not in answers:
            sys.exit(f"none was accepted: {collections.Counter(answers)}")
        total.update(answers)
        if "ConnectionRefusedError" in answers:
            break
    print("load:", ", ".join(f"{count} x {answer}" for answer, count in total.most_common()))


main()
