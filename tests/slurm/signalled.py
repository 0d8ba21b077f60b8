"""A job that tells when it gets SIGTERM, and how long it lives; for workers to import."""

import signal
import time
from pathlib import Path

STEP = 0.2


def live(path: str) -> None:
    """Write the time of every SIGTERM, and the last time alive, to `path`, until killed."""
    times: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: times.append(time.time()))
    while True:
        Path(path).with_suffix(".new").write_text(" ".join(map(str, [*times, time.time()])))
        Path(path).with_suffix(".new").replace(path)
        time.sleep(STEP)
