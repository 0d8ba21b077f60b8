"""Labels: energies, forces and stresses of structures, from VASP or any atomate2 static Maker.

`params` has the engines' parameters, which make a static Maker, and `engines` says what is known of
one. `run` runs it as one job, `read` turns its task document into a `Label`, and `reasons` says why
there is none. Names are looked up on first use: atomate2 takes seconds to import.
"""

from __future__ import annotations

from entropy_flows.lazy import lazy_names

_HOME = {
    "PBEStaticSetGenerator": "dft",
    "R2SCANrVV10StaticSetGenerator": "dft",
    "kpoint_mesh": "dft",
    "write_inputs": "vasp_inputs",
    "EngineError": "reasons",
    "Engine": "engines",
    "LabelParams": "params",
    "engine_of": "engines",
    "label_batch": "run",
    "label_one": "run",
    "labels_per_job": "run",
    "make_static_maker": "params",
    "run_static": "run",
    "Label": "read",
    "OutlierParams": "outliers",
    "odd_labels": "outliers",
    "read_label": "read",
    "InconsistentOutputError": "reasons",
    "Reason": "reasons",
    "check_geometry": "reasons",
    "reason_from_exception": "reasons",
}
__all__ = list(_HOME)

__getattr__, __dir__ = lazy_names(__name__, _HOME)
