"""Progress of reading many frames: a bar on a terminal, a line now and then without one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from entropy_flows.frames.pool import Progress

QUIET_SECONDS = 10.0
"""Time between two lines where there is no terminal to redraw."""


@contextmanager
def frame_progress(console: Console) -> Iterator[Progress]:
    """Yield a function that shows how many frames of how many have been read, and the rate."""
    if console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield _Lines(console)


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, tuple[Any, float]] = {}

        def show(title: str, done: int, total: int) -> None:
            if title not in tasks:
                task = bar.add_task(title, total=total, rate="")
                tasks[title] = (task, time.monotonic())
            number, start = tasks[title]
            rate = rate_text(done, time.monotonic() - start)
            bar.update(number, completed=done, rate=rate)

        yield show


class _Lines:
    """A line every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._title = ""
        self._start = time.monotonic()
        self._last_line = self._start

    def __call__(self, title: str, done: int, total: int) -> None:
        now = time.monotonic()
        if title != self._title:
            self._title = title
            self._start = now
        if now - self._last_line > QUIET_SECONDS:
            rate = rate_text(done, now - self._start)
            self._console.print(f"{title}: {done} of {total}{rate}", highlight=False)
            self._last_line = now


def rate_text(done: int, seconds: float) -> str:
    """Write a rate, such as " (2300/s)"; nothing in the first moment."""
    return f" ({done / seconds:.0f}/s)" if seconds > 0.5 else ""
