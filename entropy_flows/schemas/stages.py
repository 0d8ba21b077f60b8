"""The one list of stages, from which every other list of their names follows."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A kind of job; its value is the name of the Maker and of its jobs."""

    category: str
    """Category of the workers that take its jobs, unless a campaign file says otherwise."""

    def __new__(cls, name: str, category: str = "cpu") -> Stage:
        """Make a member from its name and its category."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.category = category
        return member

    REGISTER = "register"
    EXPLORE = "explore", "gpu"
    ANCHOR = "anchor", "gpu"
    INDEPENDENT = "independent", "gpu"
    SELECT = "select"
    REFINE = "refine", "gpu"
    PLAN = "plan"
    RELABEL = "relabel"
    APPROVE = "approve"
    LABEL = "label", "dft"
    RECORD = "record"
    SUBTOTAL = "subtotal"
    GATHER = "gather"
    TOP_UP = "top_up"
    TRAIN = "train", "gpu"
    MEMBER = "member", "gpu"
    COMPILE = "compile", "gpu"
    EVALUATE = "evaluate"
    RETRAIN = "retrain", "gpu"
    ADVANCE = "advance"
    POINT = "point", "gpu"
    PHYSICS = "physics", "gpu"
    ASCEND = "ascend"
    ADMIT = "admit"
    FINISH = "finish"


MAX_TOP_UPS = 3
"""Rounds of a top-up at most, each a stage of the ledger."""
IMPORT = "import"
"""The ledger's stage of cells that came with their labels; no job has this name."""
PLANNED_STAGES = (Stage.SELECT.value, Stage.REFINE.value, Stage.ANCHOR.value)
"""Stages whose ledger entries are labelled together."""


def top_up_stage(number: int) -> str:
    """Name the ledger's stage of a round of top-ups, from 1."""
    return f"{Stage.TOP_UP}_{number}"


LEDGER_STAGES = (
    *PLANNED_STAGES,
    *(top_up_stage(number) for number in range(1, MAX_TOP_UPS + 1)),
    IMPORT,
)
"""Stages that append to the ledger, in the order in which they do so within an iteration."""
CATEGORIES = {stage.value: stage.category for stage in Stage if stage.category != "cpu"}
"""Stage → category of its workers; the others run on `cpu`."""


def stages_of(category: str) -> list[str]:
    """Name the stages that run in a category, unless a campaign file says otherwise."""
    return [stage.value for stage in Stage if stage.category == category]
