"""The family of NequIP and Allegro: packages, compiled models and published packages."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.data import atomic_numbers

from entropy_flows.files import replacing
from entropy_flows.installed import installed_once
from entropy_flows.potentials.base import BatchModel, Environment, FeatureModel, ModelFamily
from entropy_flows.potentials.loaded_models import shared_calculator
from entropy_flows.potentials.names import existing_file
from entropy_flows.potentials.scope import default_dtype, scoped
from entropy_flows.yaml_text import MAX_BYTES, parse_yaml

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

PACKAGE_SUFFIX = ".nequip.zip"
COMPILED_SUFFIX = ".nequip.pt2"
PUBLISHED_PREFIX = "nequip.net:"


class NequIPFamily(ModelFamily):
    """NequIP and Allegro models.

    A package runs eagerly and can be trained. A compiled model is two to four times faster, and
    bound to the kind of device and the version of torch that it was compiled with.
    """

    name = "nequip"
    suffixes = (PACKAGE_SUFFIX, COMPILED_SUFFIX)
    compiled_suffix = COMPILED_SUFFIX
    lammps_suffix = ".nequip.lmp.pt"
    trainer = "nequip"
    environment = Environment(("nequip",), "NequIP", "pip install nequip")
    has_features = True

    def describe_names(self) -> str:
        """Describe the names of files and the ids of published packages."""
        return f"{super().describe_names()}, an id '{PUBLISHED_PREFIX}group/model:version'"

    def recognizes(self, name: str) -> bool:
        """Return whether it is a file's name of NequIP's or the id of a published package."""
        return name.endswith(self.suffixes) or is_published(name)

    def is_file(self, name: str) -> bool:
        """Return whether it is a file's name and no id, which may end in the same way."""
        return name.endswith(self.suffixes) and not is_published(name)

    def check(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Refuse arguments, for a package has its own, and names that NequIP would not load."""
        if not self.recognizes(name):
            raise ValueError(f"model '{name}' is none of NequIP's: {self.describe_names()}")
        if arguments:
            raise ValueError(
                f"model '{name}' takes no arguments, got {', '.join(arguments)}: "
                "a package has its own"
            )

    def elements(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Read a package's type names.

        None if they are not elements, or the model is compiled or would have to be fetched.
        """
        if name.endswith(COMPILED_SUFFIX) or is_published(name):
            return None
        return package_elements(local_package(name))

    def load_calculator(self, name: str, arguments: Mapping[str, Any], device: str) -> Calculator:
        """Load NequIP's own calculator, or a model compiled for batches as one."""
        path = local_package(name)
        compiled = path.name.endswith(COMPILED_SUFFIX)
        if compiled and compiled_for_batches(path):
            from entropy_flows.potentials.nequip_model import NequIPModel
            from entropy_flows.potentials.onebyone import BatchOfOne

            return BatchOfOne(NequIPModel.from_compiled(path, device))
        with default_dtype("float64"), installed_once():
            from nequip.integrations.ase import NequIPCalculator

            calculator = scoped(NequIPCalculator, "float64")
            load = calculator.from_compiled_model if compiled else calculator._from_saved_model
            # A package whose types are elements needs no other mapping. Left out, NequIP would
            # assume this one with a warning.
            types_are_elements = self.elements(str(path), {}) is not None
            return load(
                path,
                device=device,
                chemical_species_to_atom_type_map=types_are_elements or None,
            )

    def load_batch_model(self, name: str, arguments: Mapping[str, Any], device: str) -> BatchModel:
        """Load a package, or a model compiled for many cells, to evaluate them in one call."""
        from entropy_flows.potentials.nequip_model import NequIPModel

        path = local_package(name)
        if not path.name.endswith(COMPILED_SUFFIX):
            calculator = shared_calculator(self, name, arguments, device)
            return NequIPModel.from_calculator(calculator, device)
        if compiled_for_batches(path):
            return NequIPModel.from_compiled(path, device)
        warnings.warn(
            f"{path} was compiled for one cell at a time (--target ase) and is called cell after "
            "cell; `entropy-flows model … --for compiled` makes one for many cells",
            stacklevel=3,
        )
        return super().load_batch_model(name, arguments, device)

    def load_feature_model(
        self, name: str, arguments: Mapping[str, Any], device: str
    ) -> FeatureModel:
        """Load a package for the hidden layer of its readout."""
        path = local_package(name)
        if path.name.endswith(COMPILED_SUFFIX):
            raise ValueError(
                f"{path} is compiled and gives energies alone; take the {PACKAGE_SUFFIX} that it "
                "was made of"
            )
        calculator = self.load_calculator(name, arguments, device)
        from entropy_flows.potentials.nequip_features import NequIPFeatures

        return NequIPFeatures.from_calculator(calculator, device)

    def network_note(self, name: str) -> str | None:
        """Tell how to do without the network that the id of a published package needs."""
        if not is_published(name):
            return None
        return f"download the {PACKAGE_SUFFIX} from https://www.nequip.net and give its path"

    def compile(self, name: str, output: Path, device: str) -> Path:
        """Compile a package for batches of cells; see `nequip_compile`."""
        from entropy_flows.potentials.nequip_compile import compile_package

        return compile_package(name, output, device)

    def architecture(self, model: BatchModel) -> str | None:
        """Hash the modules of a model and the shapes of its weights."""
        from entropy_flows.potentials.nequip_weights import architecture

        return architecture(model)

    def load_compiled(self, model: BatchModel, path: Path) -> BatchModel:
        """Load a compiled model with the weights of another one of its architecture."""
        from entropy_flows.potentials.nequip_weights import compiled_with_weights

        return compiled_with_weights(model, path)

    def write_lammps(
        self, name: str, arguments: Mapping[str, Any], output: Path, elements: Sequence[str]
    ) -> list[str]:
        """Write a package for LAMMPS's pair style `mliap unified`."""
        from entropy_flows.potentials.mliap import mliap_lines, require_mliap

        require_mliap(name)
        path = local_package(name)
        from nequip.integrations.lammps_mliap.create_lmp_mliap_file import main

        with default_dtype("float64"), replacing(output) as temporary:
            main([str(path), str(temporary)])
        return mliap_lines(output, elements)


def is_published(name: str) -> bool:
    """Return whether a name is the id of a package published on nequip.net."""
    return name.startswith(PUBLISHED_PREFIX)


def local_package(name: str | Path) -> Path:
    """Find the file of a model, fetching a published one into NequIP's cache.

    Parameters
    ----------
    name
        Path of a model's file, or the id of a published package.

    Returns
    -------
    Path
        The file on this machine, absolute.

    Raises
    ------
    FileNotFoundError
        If it is a path without a file.
    ConnectionError
        If a published package cannot be reached.
    """
    return _fetch(str(name)) if is_published(str(name)) else existing_file(name)


def package_elements(path: Path) -> tuple[str, ...] | None:
    """Read the elements of a package from its metadata.

    Returns
    -------
    tuple of str or None
        Chemical symbols in the model's own order; None if its types are not elements.

    Raises
    ------
    ValueError
        If the file is not a NequIP package.
    """
    try:
        symbols = tuple(_atom_types(_package_metadata(path)))
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is not a NequIP package: {error}") from None
    return symbols if all(symbol in atomic_numbers for symbol in symbols) else None


def compiled_for_batches(path: Path) -> bool:
    """Return whether a compiled model takes many cells, and not one alone.

    NequIP writes the names of a model's inputs next to the machine code. Those of a model for many
    cells (`nequip-compile --target batch`) include `batch`.

    Parameters
    ----------
    path
        A file that ends in `.nequip.pt2`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [
                archive.read(name) for name in archive.namelist() if name.endswith("_metadata.json")
            ]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not a compiled model: {error}") from error
    inputs = [json.loads(text).get("nequip_aoti_inputs") for text in texts]
    if not any(inputs):
        raise ValueError(f"{path} is not a compiled NequIP model: it does not name its inputs")
    return any("batch" in names.split() for names in inputs if names)


def _package_metadata(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        entries = [
            name for name in archive.namelist() if name.endswith("/model/package_metadata.txt")
        ]
        if not entries:
            raise ValueError("it holds no model/package_metadata.txt")
        if archive.getinfo(entries[0]).file_size > MAX_BYTES:
            raise ValueError(f"its metadata have more than {MAX_BYTES} bytes")
        return archive.read(entries[0])


def _atom_types(metadata: bytes) -> list[str]:
    """Read the names of the types of atoms, whose keys in the metadata are numbers."""
    text = re.sub(r"(?m)^(\s*)(\d+):", r'\1"\2":', metadata.decode(errors="replace"))
    content = parse_yaml(text)
    types = content.get("atom_types") if isinstance(content, dict) else None
    if not isinstance(types, dict) or set(types) != {str(index) for index in range(len(types))}:
        raise ValueError("its metadata name no types of atoms")
    return [str(types[str(index)]) for index in range(len(types))]


def _fetch(name: str) -> Path:
    # NequIP resolves the id over the network before it looks into its cache, so a cached copy does
    # not help offline.
    from nequip.model.saved_models.load_utils import _get_model_file_path

    try:
        with _get_model_file_path(name) as path:
            return Path(path)
    except Exception as error:
        raise ConnectionError(
            f"model '{name}' cannot be fetched ({type(error).__name__}: {error}). On a machine "
            "with network access, download the package from https://www.nequip.net, or make a "
            f"compiled model there with `nequip-compile {name} model{COMPILED_SUFFIX} --mode "
            "aotinductor --device cpu --target batch`; copy the file here and give its path "
            f"(fine-tuning needs the {PACKAGE_SUFFIX}) instead of the id"
        ) from error
