"""The embedded server's process, `python -P server.py PORT FOLDER`.

It imports nothing of this package, so that it starts at once.

SecantusDB's own command stops the server from within its signal handler, and two signals at once
leave it waiting for itself for ever. Here the handler only takes a note, and the main thread stops
the server, once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

POLL_SECONDS = 0.1
STOP_SECONDS = 20.0
"""Time after which a server that does not stop is left to its journal."""


def main(port: int, folder: str) -> None:
    """Serve until told to end, or until the parent has ended."""
    from secantus import SecantusDBServer

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    parent = os.getppid()
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: signals.append(signum))
    server = SecantusDBServer(
        host="127.0.0.1", port=port, storage_path=folder, enable_test_commands=False
    )
    server.start()
    while not signals and os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    watchdog = threading.Timer(STOP_SECONDS, os._exit, args=(1,))
    watchdog.daemon = True
    watchdog.start()
    server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
