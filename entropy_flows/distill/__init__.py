"""Make a small model of a teacher's energies: for one system, and fast.

Cells around the seeds (strained, rattled, with close pairs, from the teacher's own dynamics) are
labelled by the teacher, and a small Allegro or NequIP is trained on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.distill.make import Student, make_student
    from entropy_flows.distill.networks import ARCHITECTURES, SIZES, new_network
    from entropy_flows.distill.pieces import StudentTask
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "ARCHITECTURES",
    "SIZES",
    "Student",
    "StudentTask",
    "make_student",
    "new_network",
]
