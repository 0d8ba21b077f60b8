"""A family whose compiled form is made at once, wrong, never or not at all, as its model says."""

import json
import os
import time
from pathlib import Path

import torch

from entropy_flows.batch import Batch
from entropy_flows.digest import digest
from entropy_flows.files import replacing
from entropy_flows.neighbors import neighbors
from entropy_flows.potentials import BatchOfOne, Evaluation, ModelFamily

SUFFIX = ".quick.json"


def write_model(path, weight=1.0, compiles="at once", sleeps=0.0, fixed=0):
    """Write a model; `sleeps` is what a call of it takes (s) as long as it is not compiled."""
    content = {"weight": weight, "compiles": compiles, "sleeps": sleeps, "fixed": fixed}
    path.write_text(json.dumps(content))
    return f'{path}?{{"family": "quick_compiler:QuickFamily"}}'


class QuickModel:
    """E = w Σ_(i,j) exp(−r_ij), for pairs within 4 Å."""

    def __init__(self, content, device="cpu"):
        self.content = content
        self.device = device

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells."""
        time.sleep(self.content["sleeps"])
        pairs = neighbors(batch, 4.0)
        r = pairs.vectors.norm(dim=1)
        terms = self.content["weight"] * torch.exp(-r)
        owner = batch.cells.owner[pairs.centers]
        energy = terms.new_zeros(len(batch)).index_add(0, owner, terms)
        pulls = 2 * (terms / r)[:, None] * pairs.vectors
        forces = torch.zeros_like(batch.positions).index_add(0, pairs.centers, -pulls)
        return Evaluation(energy, forces, torch.zeros(len(batch), 3, 3, dtype=energy.dtype))


class QuickFamily(ModelFamily):
    """Models in files `*.quick.json`."""

    name = "quick"
    suffixes = (SUFFIX,)
    compiled_suffix = ".quick.bin"

    def load_calculator(self, name, arguments, device):
        """Load one as an ASE calculator."""
        return BatchOfOne(self.load_batch_model(name, arguments, device))

    def load_batch_model(self, name, arguments, device):
        """Load one that evaluates many cells."""
        return QuickModel(json.loads(Path(name).read_text()), device)

    def compile(self, name, output, device):
        """Make a form as the model says."""
        content = json.loads(Path(name).read_text())
        compiles = content["compiles"]
        if compiles == "never":
            raise ValueError("this model cannot be compiled")
        with replacing(output) as temporary:
            temporary.write_text(json.dumps(content))
            if compiles == "slowly":
                time.sleep(600)
            if compiles == "dies":
                os.abort()
        return output

    def architecture(self, model):
        """Hash what takes time."""
        return digest(model.content["sleeps"])

    def load_compiled(self, model, path):
        """Give the form the weight of a model; one that is wrong is off by a tenth."""
        made_of = json.loads(path.read_text())
        if made_of["fixed"] != model.content["fixed"]:
            raise ValueError("compiled with other fixed numbers")
        wrong = made_of["compiles"] == "wrong"
        weight = model.content["weight"] * (1.1 if wrong else 1.0)
        return QuickModel({**model.content, "weight": weight, "sleeps": 0.0}, model.device)
