"""Follow a campaign that local workers run: a table in a terminal, a line a minute without one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from entropy_flows.cli.options import as_typed
from entropy_flows.cli.status import status_of
from entropy_flows.launch.job_states import ACTIVE_STATES, HELD_STATES, job_line
from entropy_flows.report.iterations import stage_line
from entropy_flows.report.progress import job_rows, progress_line, saved_lines, time_left_text
from entropy_flows.report.terminal import terminal_table
from entropy_flows.store.holds import HOLD_STATES, standing

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from entropy_flows.launch.local import LocalWorkers
    from entropy_flows.launch.manager import WorkflowManager
    from entropy_flows.launch.session import Session
    from entropy_flows.schemas.status import CampaignStatus
    from entropy_flows.store.fence import Fence

POLL_SECONDS = 1.0
"""Time between two looks at whether the campaign has ended."""
VIEW_SECONDS = 3.0
"""Time between two looks at what the jobs do, of which their workers write as often."""
LINE_SECONDS = 60.0
"""Time between two lines of progress where there is no terminal to redraw."""
INTERRUPTED = 130
"""Exit code of a program that was ended by Ctrl-C."""
MAX_IDLE_POLLS = 10
"""Polls without a job that can run after which none will: between two states there may be one."""
NO_JOB_CAN_RUN = "no job can run; see `entropy-flows repair --dry-run`"


@dataclass
class Follower:
    """Watches a campaign that runs, and shows its progress.

    Parameters
    ----------
    session
        The campaign.
    manager
        The workflow manager that has its jobs.
    crew
        Its local workers.
    console
        Where progress is shown.
    fence
        Holds while this is the campaign's only run.
    """

    session: Session
    manager: WorkflowManager
    crew: LocalWorkers
    console: Console
    fence: Fence
    view: RunView | None = None
    viewed_at: float = field(default=-VIEW_SECONDS)
    printed_at: float = field(default=-LINE_SECONDS)

    def follow(self) -> tuple[str, str | None]:
        """Show progress until the campaign ends or nothing can run; return state and message.

        Raises
        ------
        SystemExit
            On Ctrl-C, after it was said what is saved and how to go on.
        """
        with self._live() as live:
            try:
                return self._watch(live)
            except KeyboardInterrupt:
                if live is not None:
                    live.stop()
                self._tell_of_interruption()
                raise SystemExit(INTERRUPTED) from None

    def _watch(self, live: Live | None) -> tuple[str, str | None]:
        store = self.session.store
        idle_polls = 0
        while True:
            self.fence.check(store.database)
            report = self.crew.mend()
            if report.is_notable:
                self.console.print(f"mended: {report}", highlight=False)
            state, message = standing(store.document())
            counts = self.manager.job_counts(store.name)
            self._show(live)
            active = sum(counts.get(name, 0) for name in ACTIVE_STATES)
            if state in ("done", "failed", "cancelled") and not active:
                return state, f"cancelled {message}" if state == "cancelled" else message
            # people take their time; the workers wait for them
            is_waiting = state == "paused" or bool(store.waiting())
            idle_polls = 0 if active or is_waiting else idle_polls + 1
            if idle_polls > MAX_IDLE_POLLS:
                return self._why_stuck(counts)
            time.sleep(POLL_SECONDS)

    @contextmanager
    def _live(self) -> Iterator[Live | None]:
        """Have a part of the terminal redrawn; None without a terminal."""
        if not self.console.is_terminal:
            yield None
            return
        from rich.live import Live

        with Live(console=self.console, refresh_per_second=1, transient=True) as live:
            yield live

    def _show(self, live: Live | None) -> None:
        """Look at the jobs now and then, and show what they do."""
        now = time.monotonic()
        if now - self.viewed_at >= VIEW_SECONDS:
            self.viewed_at = now
            self.view = RunView.read(self.session, len(self.crew.processes))
        if self.view is None:
            return
        if live is not None:
            live.update(self.view.table())
        elif now - self.printed_at >= LINE_SECONDS:
            self.printed_at = now
            line = f"{time.strftime('%H:%M:%S')} {self.view.line()}"
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _tell_of_interruption(self) -> None:
        """Say what is saved, what the workers do now, and how to go on."""
        lines = ["interrupted: nothing that is done is lost"]
        if self.view is not None:
            lines += saved_lines(self.view.status, self.view.stages)
        typed = as_typed(self.session.file, self.session.typed_folder)
        lines += [f"go on with: entropy-flows run {typed}", "the workers end …"]
        for line in lines:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _why_stuck(self, counts: dict[str, int]) -> tuple[str, str]:
        """Return the state of a campaign of which no job can run, and why."""
        if any(counts.get(state) for state in HELD_STATES):
            return "stuck", job_line(counts)
        return "failed", self.manager.last_failure(self.session.store.name) or NO_JOB_CAN_RUN


@dataclass(frozen=True)
class RunView:
    """Hold what was read of a campaign that runs.

    Attributes
    ----------
    status
        The campaign.
    stages
        What the stages of its iteration have done, in words.
    """

    status: CampaignStatus
    stages: str

    @classmethod
    def read(cls, session: Session, workers: int) -> RunView:
        """Read a campaign that so many workers run."""
        iterations: list[dict[str, Any]] = session.store.iterations()
        typed = as_typed(session.file, session.typed_folder)
        status = status_of(session, iterations, typed, workers)
        stages = stage_line(iterations)
        if status.state in HOLD_STATES.values():
            stages = f"{status.state} {status.message}, {stages}"
        elif waiting := len(session.store.waiting()):
            stages = f"{waiting} cells wait for `entropy-flows approve`, {stages}"
        return cls(status, stages)

    def line(self) -> str:
        """Write it in one line."""
        return progress_line(self.status, self.stages, job_line(self.status.jobs))

    def table(self) -> RenderableType:
        """Lay it out for a terminal."""
        from rich.console import Group
        from rich.text import Text

        status = self.status
        parts: list[RenderableType] = [Text(f"{status.campaign}: {self.stages}")]
        if status.running:
            parts.append(terminal_table(job_rows(status.running)))
        left = time_left_text(status.time_left)
        jobs = f"jobs: {job_line(status.jobs)}"
        parts.append(Text(f"{jobs}; {left}" if left else jobs))
        return Group(*parts)
