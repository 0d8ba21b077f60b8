"""The kind of a machine, as far as compiled code depends on it."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from entropy_flows.digest import digest

CPU_FACTS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class MachineKind:
    """Describe what two machines have in common that run the same compiled code.

    Attributes
    ----------
    device
        Torch device, such as cpu, cuda or cuda:1.
    processor
        Name of the processor, or of the GPU.
    capability
        Vector instructions that torch uses on the CPU, or the GPU's compute capability.
    features
        Digest of all features of the CPU: the code is made for exactly these.
    threads
        Threads of torch, which the code of a CPU is made for.
    versions
        Versions of torch and of NequIP.
    """

    device: str
    processor: str
    capability: str
    features: str
    threads: int
    versions: tuple[str, ...]

    @cached_property
    def hash(self) -> str:
        """Return a digest of all of it."""
        return digest(asdict(self))[:16]

    def __str__(self) -> str:
        """Name it for people."""
        count = f", {self.threads} thread{'s' if self.threads > 1 else ''}"
        threads = count if self.device == "cpu" else ""
        return f"{self.processor} ({self.capability}{threads}), {', '.join(self.versions)}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "versions": list(self.versions)}


@cache
def machine_kind(device: str) -> MachineKind:
    """Return the kind of this machine, for models on a torch device such as `cpu` or `cuda:1`."""
    import torch

    kind = device.partition(":")[0]
    facts = _cpu_facts()
    processor = facts.get("model name") or platform.processor() or platform.machine()
    capability = torch.backends.cpu.get_cpu_capability()
    if kind == "cuda":
        processor = torch.cuda.get_device_name(device)
        capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
    features = facts.get("flags") or facts.get("Features") or platform.machine()
    return MachineKind(
        device=device,
        processor=processor,
        capability=capability,
        features=digest(sorted(features.split()))[:16],
        threads=torch.get_num_threads(),
        versions=(f"torch {torch.__version__}", f"NequIP {_version('nequip')}"),
    )


def _cpu_facts() -> dict[str, str]:
    """Read what Linux says of the first processor; empty elsewhere."""
    try:
        text = CPU_FACTS.read_text()
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
