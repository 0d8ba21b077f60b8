"""The embedded server's process, `python -P server.py PORT FOLDER`.

It imports nothing of this package, so that it starts at once.

SecantusDB's own command stops the server from within its signal handler, and two signals at once
leave it waiting for itself for ever. Here the handler only takes a note, and the main thread stops
the server, once.

Its `$merge` deletes a document and then inserts the new one. In between, a reader finds no
document, the change of another writer is lost, and a server that is killed has lost the document.
MongoDB replaces it at once, and so does this server: a `$merge` is one transaction here.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import Any

POLL_SECONDS = 0.1
STOP_SECONDS = 20.0
"""Time after which a server that does not stop is left to its journal."""


def main(port: int, folder: str) -> None:
    """Serve until told to end, or until the parent has ended."""
    from secantus import SecantusDBServer

    make_merges_atomic()
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


def make_merges_atomic() -> None:
    """Have SecantusDB run each `$merge` as one transaction, one at a time in a collection."""
    from secantus import aggregate

    stage = aggregate._STAGES["$merge"]

    def merge(spec: Any, documents: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        target = spec["into"] if isinstance(spec, dict) and "into" in spec else spec
        storage = context.storage
        inside = getattr(storage._tls, "user_txn", None) is not None
        if inside or not isinstance(target, str):
            return stage(spec, documents, context)
        with storage._coll_lock(context.db_name, target):
            transaction = storage.begin_user_transaction()
            try:
                with storage.use_user_transaction(transaction):
                    result = stage(spec, documents, context)
                storage.commit_user_transaction(transaction)
            finally:
                storage.abort_user_transaction(transaction)
        return result

    aggregate._STAGES["$merge"] = merge


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
