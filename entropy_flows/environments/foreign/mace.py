"""Adapter of MACE's models: one graph of many cells, whose edges the job has found.

A file of MACE's is a pickled module, and unpickling runs what is in it. So it is read by an
unpickler that knows MACE's, e3nn's and torch's layers and nothing else. Of the Python code that
such a file has for its contractions (torch's `GraphModule`), each word is looked at before it is
run. Code that is compiled already (TorchScript) is left to torch.
"""

from __future__ import annotations

import ast
import contextlib
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import graph_module

SUFFIX = ".model"
MIN_VOLUME = 1e-3
"""Å³; a cell of a smaller volume has no stress."""
PACKAGES = ("e3nn.math.", "e3nn.nn.", "e3nn.o3.", "mace.modules.", "torch.nn.modules.")
"""Beginnings of modules whose classes a file may name."""
NAMES = {
    ("__builtin__", "set"),
    ("__builtin__", "slice"),
    ("__builtin__", "complex"),
    ("builtins", "set"),
    ("builtins", "slice"),
    ("builtins", "complex"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("torch", "Size"),
    ("torch", "abs"),
    ("torch", "device"),
    ("torch", "float32"),
    ("torch", "float64"),
    ("torch", "tanh"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch.fx._symbolic_trace", "Tracer"),
    ("torch.fx.graph_module", "reduce_graph_module"),
    ("torch.nn.functional", "silu"),
}
"""What else it may name."""
WORDS = {"Tensor", "einsum", "functional", "permute", "reshape", "shape", "tensordot", "torch"}
"""Names with a dot before them in the code of a contraction."""
IMPORTS = {
    "import torch",
    "import torch.fx",
    "from torch import device",
    "from math import inf",
    "from math import nan",
    "NoneType = type(None)",
    "import torch.fx._pytree as fx_pytree",
    "import torch.utils._pytree as pytree",
}
NODES = (
    *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.Return, ast.Expr),
    *(ast.Call, ast.keyword, ast.Attribute, ast.Name, ast.Load, ast.Store, ast.Constant),
    *(ast.Tuple, ast.List, ast.Subscript, ast.Slice, ast.BinOp, ast.Add, ast.Mult, ast.UnaryOp),
    ast.USub,
)


def load_calculator(name: str, arguments: dict[str, Any], device: str) -> Any:
    """Load MACE's own calculator, of a file or of a published model that MACE knows."""
    from mace.calculators import MACECalculator

    model = read_model(model_file(name), device)
    return MACECalculator(models=model, device=device, **{"default_dtype": "", **arguments})


def load_batch_model(name: str, arguments: dict[str, Any], device: str) -> BatchModel:
    """Load a model that evaluates many cells as one graph."""
    calculator = load_calculator(name, arguments, device)
    head = calculator.available_heads.index(calculator.head)
    return BatchModel(calculator.models[0], head, device)


def model_file(name: str) -> Path:
    """Return a model's file; a published model is fetched by MACE if it has not been before."""
    if name.endswith(SUFFIX):
        return Path(name)
    from mace.calculators.foundations_models import download_mace_mp_checkpoint

    return Path(download_mace_mp_checkpoint(name))


def read_model(path: str | Path, device: str = "cpu") -> nn.Module:
    """Read a file of MACE's.

    Raises
    ------
    ValueError
        If it is none, or names anything that no such file has to name.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a model of MACE: it is no archive of torch's")
    reader = SimpleNamespace(__name__="mace", Unpickler=_Unpickler)
    try:
        model = torch.load(path, map_location=device, pickle_module=reader, weights_only=False)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} is not a model of MACE: {error}") from None
    if not hasattr(model, "atomic_energies_fn"):
        raise ValueError(f"{path} is not a model of MACE: it holds a {type(model).__name__}")
    return model


class _Unpickler(pickle.Unpickler):
    """An unpickler of MACE's files."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a file names, if a model of MACE may name it."""
        is_storage = module == "torch" and name.endswith("Storage")
        is_listed = is_storage or (module, name) in NAMES
        if (module, name) == ("torch.fx.graph_module", "reduce_graph_module"):
            return reduce_graph_module
        if is_listed or (module.startswith(PACKAGES) and "." not in name):
            member = super().find_class(module, name)
            # a module may have imported what is not its own
            is_layer = isinstance(member, type) and f"{member.__module__}.".startswith(PACKAGES)
            if is_listed or is_layer:
                return member
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not called")


def reduce_graph_module(body: dict[str, Any], imports: str) -> nn.Module:
    """Make a contraction of its code, if that does nothing but contract tensors."""
    check_code(body.get("_code") or body["code"], imports)
    return graph_module.reduce_graph_module(body, imports)


def check_code(code: str, imports: str) -> None:
    """Refuse code that does anything but call a few functions of torch.

    Raises
    ------
    pickle.UnpicklingError
        Naming the line.
    """
    for line in imports.splitlines():
        if line.strip() not in IMPORTS | {""}:
            raise pickle.UnpicklingError(f"its code has the line {line!r}, which is not run")
    for node in ast.walk(ast.parse(code)):
        is_known = isinstance(node, NODES)
        if isinstance(node, ast.Attribute):
            is_known = node.attr in WORDS
        elif isinstance(node, ast.Call):
            is_slice = isinstance(node.func, ast.Name) and node.func.id == "slice"
            is_known = isinstance(node.func, ast.Attribute) or is_slice
        elif isinstance(node, ast.Name):
            is_known = not node.id.startswith("__")
        elif isinstance(node, ast.FunctionDef):
            is_known = node.name == "forward" and not node.decorator_list
        if not is_known:
            raise pickle.UnpicklingError(
                f"its code has {ast.unparse(node)[:80]!r}, which is not run"
            )


class BatchModel:
    """A MACE model on the arrays of a job.

    Parameters
    ----------
    model
        MACE's module.
    head
        Number of the head that is evaluated.
    device
        Where the model is.
    """

    has_stress = True

    def __init__(self, model: Any, head: int, device: str) -> None:
        self.model = model
        self.head = head
        self.device = device
        self.dtype = next(model.parameters()).dtype
        self.cutoff = float(model.r_max)
        self.elements = tuple(int(number) for number in model.atomic_numbers)

    def __call__(self, cells: Any, positions: np.ndarray, pairs: Any) -> dict[str, np.ndarray]:
        """Evaluate all cells."""
        if "graph" not in cells.inputs:
            cells.inputs["graph"] = self._static_inputs(cells)
        static = cells.inputs["graph"]
        shifts = self._tensor(pairs.shifts, self.dtype)
        lattice = static["cell"].view(-1, 3, 3)[static["batch"][self._tensor(pairs.centers)]]
        graph = {
            **static,
            "positions": self._tensor(positions, self.dtype),
            "edge_index": self._tensor(np.stack([pairs.centers, pairs.members])),
            "unit_shifts": shifts,
            "shifts": torch.einsum("ri,rij->rj", shifts, lattice),
        }
        with default_dtype(self.dtype), torch.enable_grad():
            result = self.model(graph, compute_stress=True)
        stress = result["stress"].detach().double().cpu().numpy()
        volumes = np.abs(np.linalg.det(cells.lattice))
        return {
            "energy": result["energy"].detach().double().cpu().numpy(),
            "forces": result["forces"].detach().double().cpu().numpy(),
            "stress": np.where(volumes[:, None, None] < MIN_VOLUME, np.nan, stress),
        }

    def _static_inputs(self, cells: Any) -> dict[str, Tensor]:
        """Build the inputs that stay while atoms move."""
        unknown = sorted(set(cells.numbers.tolist()) - set(self.elements))
        if unknown:
            raise ValueError(f"the model does not know the elements of atomic numbers {unknown}")
        is_element = cells.numbers[:, None] == np.array(self.elements)[None, :]
        return {
            "node_attrs": self._tensor(is_element, self.dtype),
            "batch": self._tensor(cells.owner),
            "ptr": self._tensor(cells.first),
            "cell": self._tensor(cells.lattice.reshape(-1, 3), self.dtype),
            "pbc": self._tensor(cells.pbc),
            "head": self._tensor(np.full(len(cells.sizes), self.head)),
        }

    def _tensor(self, array: np.ndarray, dtype: torch.dtype | None = None) -> Tensor:
        # a copy: what came over the wire is read-only
        return torch.tensor(array, device=self.device, dtype=dtype)


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Compute under a default dtype: models of both take turns in one process."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
