"""A server of the S3 protocol on a free port of loopback, until standard input ends.

moto needs other versions of what it shares with this project's dependencies, so that it has an
environment of its own, `.venv-s3`, which `make test` makes; this script runs in it.
"""

from __future__ import annotations

import sys

from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("{}:{}".format(*server.get_host_and_port()), flush=True)
sys.stdin.read()
server.stop()
