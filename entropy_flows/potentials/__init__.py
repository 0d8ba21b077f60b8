"""Models: a name, one string, becomes an ASE calculator or a model of many cells at once.

Accepted names, in the order in which they are tried:

=============================  ===================================================================
`path/to/model.nequip.zip`     a packaged NequIP or Allegro model, run eagerly: works at once
`path/to/model.nequip.pt2`     the same model compiled, 2 to 4 times faster; bound to device and
                               version of torch
`nequip.net:group/model:0.1`   a published package, fetched by NequIP: needs the network each time
`SevenNet-0`, `7net-l3i5`, …   a model SevenNet knows; SevenNet-0, l3i5 and mf-0 are in its wheel
`path/to/checkpoint.pth`       a checkpoint of SevenNet, as its training and ours write it
`path/to/weights.model`        a model of MACE; `MACE-MPA-0`, … are published ones
`CHGNet`, `CHGNet-r2SCAN`      a model in CHGNet's wheel
`path/to/model.matgl.zip`      a potential of MatGL; `TensorNet-…`, `M3GNet-…` are published ones
`path/to/model.metatomic.pt`   a model exported by metatrain, such as PET
a name that a package adds     a model of a family that an installed package registers
`MATPES_PBE`, …                a force field that atomate2 knows, if its package is installed
`some.module.name`             a class or function that gives an ASE calculator or a torch-sim
                               model; called with the arguments given, and the device
=============================  ===================================================================

Keyword arguments stand behind a name as JSON; a campaign file has them as a mapping:
`{name: 7net-mf-0, modal: PBE}` is `7net-mf-0?{"modal": "PBE"}`. Families that a third party adds
are described in docs/extending.md.

Importing this package imports no machine-learning package; loading a model does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.potentials.base import (
        BatchModel,
        Environment,
        Evaluation,
        FeatureModel,
        ModelFamily,
    )
    from entropy_flows.potentials.families import (
        FAMILIES,
        environment_of,
        file_suffix,
        find_model,
        match_model,
        with_family_of,
    )
    from entropy_flows.potentials.loading import (
        ase_lines,
        check_name,
        compile_model,
        load_batch_model,
        load_calculator,
        load_feature_model,
        load_many,
        write_lammps,
    )
    from entropy_flows.potentials.locate import locate_model
    from entropy_flows.potentials.metadata import check_elements, model_elements
    from entropy_flows.potentials.names import ModelName, existing_file, split_model, with_arguments
    from entropy_flows.potentials.onebyone import BatchOfOne, OneByOne, evaluate_ahead
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "FAMILIES",
    "BatchModel",
    "BatchOfOne",
    "Environment",
    "Evaluation",
    "FeatureModel",
    "ModelFamily",
    "ModelName",
    "OneByOne",
    "ase_lines",
    "check_elements",
    "check_name",
    "compile_model",
    "environment_of",
    "evaluate_ahead",
    "existing_file",
    "file_suffix",
    "find_model",
    "load_batch_model",
    "load_calculator",
    "load_feature_model",
    "load_many",
    "locate_model",
    "match_model",
    "model_elements",
    "split_model",
    "with_arguments",
    "with_family_of",
    "write_lammps",
]
