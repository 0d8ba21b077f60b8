"""Checks of a potential by the properties of crystals.

Each takes an ASE calculator and a phase, and returns plain numbers. `matcalc` and `phonopy` come
with the extra `physics`; they are imported when a check needs them.
"""

from entropy_flows.evaluate.physics.elastic import Elastic, elastic
from entropy_flows.evaluate.physics.eos import Eos, eos
from entropy_flows.evaluate.physics.params import CHECKS, CheckName, PhysicsParams
from entropy_flows.evaluate.physics.phases import (
    Enthalpy,
    Transition,
    enthalpy,
    order_at,
    transitions,
)
from entropy_flows.evaluate.physics.phonons import Phonons, phonons
from entropy_flows.evaluate.physics.relax import CheckError, relaxed, space_group, standard_cell
from entropy_flows.evaluate.physics.run import (
    DECIDING_PARAMS,
    CheckResult,
    HarshestCondition,
    resolved,
    run_check,
)
from entropy_flows.evaluate.physics.stability import Stability, stability

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
    "elastic",
    "enthalpy",
    "eos",
    "order_at",
    "phonons",
    "relaxed",
    "resolved",
    "run_check",
    "space_group",
    "stability",
    "standard_cell",
    "transitions",
]
