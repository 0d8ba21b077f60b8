"""Checks of a potential by the properties of crystals.

Each is a function in the module of its name. It takes an ASE calculator and a phase, and returns
plain numbers. `matcalc` and `phonopy` come with the extra `physics`; they are imported when a check
needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.evaluate.physics.elastic import Elastic
    from entropy_flows.evaluate.physics.eos import Eos
    from entropy_flows.evaluate.physics.params import CHECKS, CheckName, PhysicsParams
    from entropy_flows.evaluate.physics.phases import (
        Enthalpy,
        Transition,
        enthalpy,
        order_at,
        transitions,
    )
    from entropy_flows.evaluate.physics.phonons import Phonons
    from entropy_flows.evaluate.physics.relax import CheckError, relaxed, space_group, standard_cell
    from entropy_flows.evaluate.physics.run import (
        DECIDING_PARAMS,
        CheckResult,
        HarshestCondition,
        resolved,
        run_check,
    )
    from entropy_flows.evaluate.physics.stability import Stability
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "CHECKS",
    "DECIDING_PARAMS",
    "CheckError",
    "CheckName",
    "CheckResult",
    "Elastic",
    "Enthalpy",
    "Eos",
    "HarshestCondition",
    "Phonons",
    "PhysicsParams",
    "Stability",
    "Transition",
    "enthalpy",
    "order_at",
    "relaxed",
    "resolved",
    "run_check",
    "space_group",
    "standard_cell",
    "transitions",
]
