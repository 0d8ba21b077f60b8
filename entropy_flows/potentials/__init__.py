"""Base models: a name, one string, becomes an ASE calculator or a model of many cells at once.

Accepted names, in the order they are tried:

=============================  =========================================================================
`path/to/model.nequip.zip`     a packaged NequIP or Allegro model, run eagerly: works at once
`path/to/model.nequip.pt2`     the same model compiled (see `compile`): 2 to 4 times faster, bound to device and torch
`nequip.net:group/model:0.1`   a published package, fetched by NequIP: needs the network each time
`SevenNet-0`, `7net-l3i5`, …   a model SevenNet knows; SevenNet-0, l3i5 and mf-0 come inside its wheel
`path/to/checkpoint.pth`       a checkpoint of SevenNet, as its training and ours write it
`CHGNet`, `MACE-MPA-0`, …      a force field atomate2 knows, if its package is installed
`some.module.name`             a class or function that needs no arguments but a device and gives an ASE calculator
                               or, for `load_batch_model`, a model of torch-sim
=============================
=========================================================================

Keyword arguments, for SevenNet, atomate2's force fields and import paths, stand behind a name as
JSON; a campaign file has them as a mapping: `{name: 7net-mf-0, modal: PBE}` is `7net-mf-0?{"modal":
"PBE"}`.

Importing this package imports no machine-learning package; loading a model does.
"""

from entropy_flows.potentials.batch import BatchModel, Evaluation, load_batch_model
from entropy_flows.potentials.calculators import check_name, load_calculator
from entropy_flows.potentials.files import (
    check_elements,
    local_package,
    model_elements,
)
from entropy_flows.potentials.names import (
    CHECKPOINT_SUFFIX,
    COMPILED_SUFFIX,
    NEQUIP_NET,
    PACKAGE_SUFFIX,
    ModelName,
    is_sevennet,
    split_model,
    with_arguments,
)
from entropy_flows.potentials.onebyone import BatchOfOne, OneByOne

__all__ = [
    "CHECKPOINT_SUFFIX",
    "COMPILED_SUFFIX",
    "NEQUIP_NET",
    "PACKAGE_SUFFIX",
    "BatchModel",
    "BatchOfOne",
    "Evaluation",
    "ModelName",
    "OneByOne",
    "check_elements",
    "check_name",
    "is_sevennet",
    "load_batch_model",
    "load_calculator",
    "local_package",
    "model_elements",
    "split_model",
    "with_arguments",
]
