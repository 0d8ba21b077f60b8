"""What a campaign's `queue` section may change: the keys that FireWorks' queue adapter has a line for in its template.

FireWorks leaves out any other key with a warning in qlaunch's log, and the queue job then has the
settings of the queue file: a training whose `wall_time` was to be two days gets one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Formatter

from entropy_flows.launch import launcher_texts as texts
from entropy_flows.launch.launchers import clock
from entropy_flows.schemas.stages import Stage
from entropy_flows.spelling import did_you_mean

USUAL = "walltime, queue (the partition), account, qos, mem, gres, nodes, ntasks, cpus_per_task, constraint"


def check_queue(queue: Mapping[Stage, Mapping[str, str | int]]) -> None:
    """Refuse changes of the queue adapter that no queue would hear of.

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

    known = template_keys(texts.PBS_TEMPLATE)
    for kind in ("SLURM", "PBS"):
        known |= template_keys(Path(CommonAdapter(kind).template_file).read_text())
    for stage, changes in queue.items():
        for key in changes:
            if key not in known:
                hint = did_you_mean(key, known) or f"; usual ones: {USUAL}"
                raise ValueError(f"queue.{stage}: unknown key '{key}'{hint}")
        if isinstance(walltime := changes.get("walltime"), int):
            raise ValueError(
                f"queue.{stage}.walltime: {walltime} is no walltime: YAML makes a number of one without quotes; "
                f'write walltime: "{clock(walltime)}"'
            )


def template_keys(template: str) -> set[str]:
    """The keys that a batch script's template has a place for."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}
