"""Labels: energies, forces and stresses of structures, from VASP or any atomate2 static Maker.

`params` has the engines' parameters, which make a static Maker, and `engines` says what is known of
one. `run` runs it as one job, `read` turns its task document into a `Label`, and `reasons` says why
there is none. Names are looked up on first use: atomate2 takes seconds to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.label.dft import (
        PBEStaticSetGenerator,
        R2SCANrVV10StaticSetGenerator,
        kpoint_mesh,
    )
    from entropy_flows.label.engines import Engine, engine_of
    from entropy_flows.label.outlier_params import OutlierParams
    from entropy_flows.label.outliers import odd_labels
    from entropy_flows.label.params import LabelParams, make_static_maker
    from entropy_flows.label.read import Label, read_label
    from entropy_flows.label.reasons import (
        EngineError,
        InconsistentOutputError,
        Reason,
        check_geometry,
        reason_from_exception,
    )
    from entropy_flows.label.run import label_batch, label_one, labels_per_job, run_static
    from entropy_flows.label.vasp_inputs import write_inputs
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "Engine",
    "EngineError",
    "InconsistentOutputError",
    "Label",
    "LabelParams",
    "OutlierParams",
    "PBEStaticSetGenerator",
    "R2SCANrVV10StaticSetGenerator",
    "Reason",
    "check_geometry",
    "engine_of",
    "kpoint_mesh",
    "label_batch",
    "label_one",
    "labels_per_job",
    "make_static_maker",
    "odd_labels",
    "read_label",
    "reason_from_exception",
    "run_static",
    "write_inputs",
]
