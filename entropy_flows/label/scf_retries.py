"""Other settings for the SCF where VASP's electronic steps ran out.

They lead to the same numbers by another way: a converged result does not depend on any of these
tags, so the label keeps the engine's hash. Each retry is one run more, in a folder of its own, and
custodian does not go through its own list of algorithms in it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobflow import Maker

# Custodian has tried ALGO = All and a small BMIX by then; VASP's manual goes on with smaller steps.
DIRECT_MINIMISATION: dict[str, Any] = {"ALGO": "All", "TIME": 0.2, "NELM": 300}
"""Half the trial step; without mixing the charge cannot slosh."""
LINEAR_MIXING: dict[str, Any] = {
    "ALGO": "Normal",
    "AMIX": 0.05,
    "BMIX": 1e-4,
    "NELMDL": -12,
    "NELM": 400,
}
"""Nearly linear mixing, after twelve steps without a change of the density."""
DAMPED: dict[str, Any] = {"ALGO": "Damped", "TIME": 0.1, "NELM": 500}
"""Damped dynamics of the wave functions, the slowest and the surest."""
CHANGES = (DIRECT_MINIMISATION, LINEAR_MIXING, DAMPED)
"""INCAR changes in the order in which they are tried."""
_HANDLERS_OF_THE_SCF = ("UnconvergedErrorHandler", "NonConvergingErrorHandler")


def with_changes(maker: Maker, changes: dict[str, Any]) -> Maker:
    """Copy a VASP Maker, with these INCAR tags and without custodian's own retries of the SCF.

    Parameters
    ----------
    maker
        VASP static Maker; it is left as it was.
    changes
        INCAR tags and values.

    Returns
    -------
    Maker
        The copy.
    """
    from atomate2.vasp.run import DEFAULT_HANDLERS

    copied: Any = copy.deepcopy(maker)
    generator = copied.input_set_generator
    generator.user_incar_settings = {**generator.user_incar_settings, **changes}
    if hasattr(copied, "run_vasp_kwargs"):
        handlers = copied.run_vasp_kwargs.get("handlers", DEFAULT_HANDLERS)
        remaining = [h for h in handlers if type(h).__name__ not in _HANDLERS_OF_THE_SCF]
        copied.run_vasp_kwargs = {**copied.run_vasp_kwargs, "handlers": remaining}
    return copied
