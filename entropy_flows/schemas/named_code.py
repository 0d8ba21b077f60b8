"""Code that a campaign file names by import paths: a user's label engines, models, trainers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.fingerprints import FINGERPRINTS
from entropy_flows.label.engines.forcefield import ForceFieldParams
from entropy_flows.label.engines.maker import CustomParams
from entropy_flows.modules import is_installed, lies_beside
from entropy_flows.plugins import import_paths, is_import_path
from entropy_flows.potentials import environment_of, split_model
from entropy_flows.potentials.families import FAMILY, module_of
from entropy_flows.schemas.campaign import Campaign, read_mapping

if TYPE_CHECKING:
    from entropy_flows.schemas.files import AnyCampaign

TRUSTED = ("ase", "atomate2", "entropy_flows")
"""Packages that are imported anyway: to import a class of theirs runs nothing of a campaign's."""
PLAIN = (*TRUSTED, "custodian", "jobflow", "numpy", "pymatgen")
"""Packages whose classes a Maker of atomate2's may be made of."""


@dataclass(frozen=True)
class NamedCode:
    """An import path in a campaign file."""

    key: str
    """Where it stands."""
    path: str
    """As it is written."""
    module: str
    """The module that is imported."""
    trusted: bool
    """Whether importing it runs only what is imported anyway."""

    @property
    def is_engine(self) -> bool:
        """Tell whether it is of the label engine."""
        return self.key.startswith("label.")


def named_code(settings: AnyCampaign, folder: Path) -> list[NamedCode]:
    """List the import paths of a file; nothing is imported.

    Parameters
    ----------
    settings
        The file's content.
    folder
        Where the file is.

    Raises
    ------
    ValueError
        If a module is neither installed nor in the folder.
    """
    paths = _import_paths(settings)
    for code in paths:
        if not lies_beside(code.module, folder) and not is_installed(code.module):
            top = code.module.partition(".")[0]
            raise ValueError(
                f"{code.key} {code.path}: module {top!r} is neither installed nor in the folder "
                f"{folder}"
            )
    return paths


def refuse_unseen_plugins(file: Path) -> None:
    """Raise a ValueError if reading the file imports code that its author may have written."""
    for key, path in import_paths(read_mapping(file)):
        if path.partition(".")[0] not in TRUSTED:
            raise ValueError(
                f"{file}: {key}: to read the file imports {path}, which runs its code; if you "
                "trust it, give --load"
            )


def modules_folder(settings: AnyCampaign, folder: Path) -> str | None:
    """Return the folder if a module that a file in it names lies there.

    A module that is nowhere is no matter here: who only looks at a campaign needs none of them.
    """
    beside = any(lies_beside(code.module, folder) for code in _import_paths(settings))
    return str(folder.resolve()) if beside else None


def _import_paths(settings: AnyCampaign) -> list[NamedCode]:
    return [*_engine(settings), *(_others(settings) if isinstance(settings, Campaign) else ())]


def _engine(settings: AnyCampaign) -> Iterator[NamedCode]:
    label = settings.label
    if label is None:
        return
    if isinstance(label, CustomParams):
        yield _maker(label.maker)
    elif isinstance(label, ForceFieldParams):
        if "." not in label.model or environment_of(label.model) is not None:
            return  # a module of an environment is imported there
        module = label.model.rpartition(".")[0]
        trusted = module.partition(".")[0] in TRUSTED
        yield NamedCode("label.model", label.model, module, trusted)
    elif is_import_path(label.engine):
        module = label.engine.partition(":")[0]
        yield NamedCode("label.engine", label.engine, module, trusted=False)


def _maker(maker: str | dict[str, Any]) -> NamedCode:
    """Return the code of a label engine's own Maker."""
    if isinstance(maker, dict):
        module = str(maker.get("@module"))
        path = f"{module}:{maker.get('@class')}"
        trusted = all(name.partition(".")[0] in PLAIN for name in _modules(maker))
        return NamedCode("label.maker", path, module, trusted)
    module, _, name = maker.partition(":")
    # A function would be called; the making of a class runs what its package has in it.
    is_class = name.rpartition(".")[2][:1].isupper()
    trusted = is_class and module.partition(".")[0] in TRUSTED
    return NamedCode("label.maker", maker, module, trusted)


def _others(campaign: Campaign) -> Iterator[NamedCode]:
    for key, model in (("base_model", campaign.base_model), ("student", campaign.student)):
        if model is None:
            continue
        name, arguments = split_model(model)
        family = str(arguments.get(FAMILY, ""))
        if is_import_path(family):
            yield NamedCode(f"{key}.{FAMILY}", family, family.partition(":")[0], trusted=False)
        module = module_of(model)
        if module is not None:
            yield NamedCode(key, name, module, trusted=name.partition(".")[0] in TRUSTED)
    for key, path in _selection(campaign):
        if is_import_path(path):
            yield NamedCode(key, path, path.partition(":")[0], trusted=False)
    recipes = {
        campaign.iteration(number).train.trainer
        for number in range(1, max(1, len(campaign.iterations)) + 1)
    }
    recipes.add(campaign.curve.train.trainer if campaign.curve.train else None)
    for trainer in sorted(name for name in recipes if name and is_import_path(name)):
        module = trainer.partition(":")[0]
        yield NamedCode("train.trainer", trainer, module, trusted=False)


def _selection(campaign: Campaign) -> Iterator[tuple[str, str]]:
    """Yield key and name of the campaign's fingerprint and of its selectors."""
    yield "global_fingerprint.kind", FINGERPRINTS.name_of(campaign.global_fingerprint)
    iterations = range(1, max(1, len(campaign.iterations)) + 1)
    selectors = {campaign.iteration(number).select.selector for number in iterations}
    for selector in sorted(selectors):
        yield "select.selector", selector


def _modules(value: Any) -> Iterator[str]:
    """Modules that a Maker's dictionary names."""
    if isinstance(value, dict):
        if "@module" in value:
            yield str(value["@module"])
        for item in value.values():
            yield from _modules(item)
    elif isinstance(value, list):
        for item in value:
            yield from _modules(item)
