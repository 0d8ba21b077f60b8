"""Check what a campaign's `queue` section changes of the queue jobs.

Only a key that FireWorks' queue adapter has a line for in its template has an effect. FireWorks
leaves out any other with a warning in qlaunch's log, and the queue job has the settings of the
queue file: a training whose `wall_time` was to be two days gets one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Formatter

from entropy_flows.launch import launcher_texts as texts
from entropy_flows.launch.walltime import clock
from entropy_flows.schemas.stages import Stage
from entropy_flows.spelling import did_you_mean

USUAL_KEYS = (
    "walltime, queue (the partition), account, qos, mem, gres, nodes, ntasks, cpus_per_task, "
    "constraint"
)


def check_queue(queue: Mapping[Stage, Mapping[str, str | int]]) -> None:
    """Refuse changes of the queue adapter that have no effect in any queue.

    Parameters
    ----------
    queue
        Stage → key → value, as in a campaign file.

    Raises
    ------
    ValueError
        For a key that neither SLURM's template nor a PBS template has, or a walltime that YAML has
        made a number.
    """
    if not queue:
        return
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

    allowed_keys = template_keys(texts.PBS_TEMPLATE)
    for kind in ("SLURM", "PBS"):
        allowed_keys |= template_keys(Path(CommonAdapter(kind).template_file).read_text())
    for stage, changes in queue.items():
        for key in changes:
            if key not in allowed_keys:
                hint = did_you_mean(key, allowed_keys) or f"; usual ones: {USUAL_KEYS}"
                raise ValueError(f"queue.{stage}: unknown key '{key}'{hint}")
        walltime = changes.get("walltime")
        if isinstance(walltime, int):
            raise ValueError(
                f"queue.{stage}.walltime: {walltime} is no walltime: YAML makes a number of one "
                f'without quotes; write walltime: "{clock(walltime)}"'
            )


def template_keys(template: str) -> set[str]:
    """Return the keys that a batch script's template has a field for."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}
