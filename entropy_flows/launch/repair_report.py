"""What a repair found and did, for the reader."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

REPAIRS = {
    "lock": "locks of dead workers removed",
    "ended": "ended jobs told to their workflow",
    "lost": "lost jobs run again",
    "reserved": "reserved jobs put back",
    "failed": "failed jobs run again",
    "arrays": "jobs whose output lacks a part run again",
    "waiting": "jobs that waited for nothing let go on",
    "stage": "failed stages run again",
    "left": "old launches closed",
    "orphan": "orphaned jobs deleted",
}
"""Kind of a finding that is mended → what is done, in words."""
ROUTINE = frozenset(("ended", "waiting", "left"))
"""Kinds of what a slow worker would still have done itself."""
NOTICES = {"given up": "jobs given up", "busy": "workflows busy"}
"""Kind of a finding that is only reported → words."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a job, and what is done about it.

    Attributes
    ----------
    kind
        A key of `REPAIRS` or of `NOTICES`.
    job_id
        What the workflow manager calls the job.
    name
        Name of the job, which is that of its stage.
    problem
        What is wrong, for the reader.
    remedy
        What is done, for the reader: it completes "it would be …".
    launches
        Numbers of the launches that end with it.
    uuid
        The job's identifier in jobflow, where its output is concerned.
    """

    kind: str
    job_id: Any
    name: str
    problem: str
    remedy: str
    launches: tuple[int, ...] = ()
    uuid: str | None = None

    @classmethod
    def of_job(
        cls, kind: str, job: dict[str, Any], problem: str, remedy: str, uuid: str | None = None
    ) -> Finding:
        """Build the finding of a job from its document."""
        launches = tuple(job["launches"])
        return cls(kind, job["fw_id"], job["name"], problem, remedy, launches, uuid)


@dataclass(frozen=True)
class RepairReport:
    """The findings of a repair; true if anything was mended."""

    findings: tuple[Finding, ...] = ()

    @property
    def is_notable(self) -> bool:
        """True if something was wrong; living workers under load leave what is `ROUTINE`, too."""
        return any(finding.kind in REPAIRS.keys() - ROUTINE for finding in self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each kind."""
        numbers = Counter(finding.kind for finding in self.findings)
        return {kind: numbers[kind] for kind in (*REPAIRS, *NOTICES) if numbers[kind]}

    def __bool__(self) -> bool:
        return any(finding.kind in REPAIRS for finding in self.findings)

    def __add__(self, other: RepairReport) -> RepairReport:
        return RepairReport(self.findings + other.findings)

    def __str__(self) -> str:
        words = {**REPAIRS, **NOTICES}
        lines = [f"{words[kind]}: {number}" for kind, number in self.counts.items()]
        return ", ".join(lines) or "nothing to mend"
