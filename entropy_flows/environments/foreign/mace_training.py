"""MACE's own program, `mace_run_train`, made to go on bit for bit when it was killed.

    python -I mace_training.py BASE.json DEVICE RESULT.model --config CONFIG.yaml

It writes the model to start from, unless it is there: one head, the energies of its elements moved.
Then it runs the program, and writes the best epoch's model. Left to itself, the program has these
gaps.

- It keeps an epoch's averaged weights and not those that moved, so a training that goes on after a
  kill starts from the average. `EpochFiles` keeps both.
- Going on, it runs the last finished epoch again, and without the scheduler's step.
- Going on, it takes the data in the order of the first epoch. Here it follows from seed and epoch.
- Cells that do not fill a batch are left out of an epoch. `EpochOrder` keeps them.
- From a checkpoint that cannot be read it starts at the beginning again. Here files are whole.
- Its model is that of the last epoch, and epochs without progress are counted from zero after a
  kill. Here the history is in the checkpoint; it decides when training ends and which epoch counts.
- The loss that it reports of a set depends on the size of the batches.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import torch
from mace import tools
from mace.cli import run_train
from mace.tools.scripts_utils import remove_pt_head
from mace.tools.torch_geometric.dataloader import DataLoader

HEAD = "Default"
"""Head of the labelled cells: the name that the program gives to the only one."""
ERRORS = {
    "loss": "val_loss",
    "mae_e_per_atom": "energy_mae",
    "mae_f": "forces_mae",
    "mae_stress": "stress_mae",
}
"""The program's name of a result → the history's, in eV/atom, eV/Å and eV/Å³."""
# `mace.tools.train` is the function of this name
PROGRAM: Any = sys.modules["mace.tools.train"]
PROGRAM_TRAIN = PROGRAM.train
PROGRAM_EVALUATE = PROGRAM.evaluate
END = "MACE TRAINING END"
Row = dict[str, float]


class Finished(Exception):  # noqa: N818
    """The training is over, by the recipe."""


class EpochFiles:
    """Checkpoints of the epochs; takes the place of the program's `CheckpointHandler`.

    Parameters
    ----------
    directory
        Folder to write to.
    """

    def __init__(self, directory: str, **_: Any) -> None:
        self.folder = Path(directory)
        self.history: list[Row] = []
        self.patience = sys.maxsize
        self.ema: Any = None
        self.averages: dict[str, Any] | None = None
        self.losses: list[float] = []
        self.row: Row = {}

    def log(self, metrics: dict[str, Any]) -> None:
        """Take what the program would write to its table of losses."""
        if metrics["mode"] == "opt":
            self.losses.append(float(metrics["loss"]))
        elif metrics["epoch"] is not None and metrics["head"] == HEAD:
            # what no cell has is no number but a placeholder
            errors = {name: metrics[key] for key, name in ERRORS.items() if key in metrics}
            numbers = (int, float, np.number)
            self.row = {
                name: float(error) for name, error in errors.items() if isinstance(error, numbers)
            }

    def save(self, state: Any, epochs: int, keep_last: bool = False) -> None:
        """Write an epoch; the program calls this while the model has the averaged weights."""
        raw = [] if self.ema is None else self.ema.collected_params
        rate = max(group["lr"] for group in state.optimizer.param_groups)
        loss = float(np.mean(self.losses))
        row = {"epoch": epochs + 1, "learning_rate": rate, "train_loss": loss, **self.row}
        self.history.append(row)
        self.losses = []
        checkpoint = {
            "model": state.model.state_dict(),
            "raw": raw,
            "averages": None if self.ema is None else self.ema.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "lr_scheduler": state.lr_scheduler.state_dict(),
            "history": self.history,
        }
        save(checkpoint, self._file(epochs + 1))
        temporary = self.folder / f".part-{os.getpid()}-history.json"
        temporary.write_text(json.dumps(self.history))
        temporary.replace(self.folder / "history.json")
        needed = {self._file(epoch) for epoch in kept_epochs(self.history)}
        for path in self.folder.glob("epoch-*.ckpt"):
            if path not in needed:
                path.unlink()
        if self.is_over():
            raise Finished

    def is_over(self) -> bool:
        """Return whether the validation loss has not fallen for too many epochs."""
        return len(self.history) - best_epoch(self.history) >= self.patience

    def load_best(self, model: torch.nn.Module) -> None:
        """Give a model the averaged weights of the best epoch."""
        stored = torch.load(self._file(best_epoch(self.history)), weights_only=True)
        model.load_state_dict(stored["model"])

    def load_latest(self, state: Any, device: Any, **_: Any) -> int | None:
        """Load the last epoch: the weights that moved, not their average."""
        files = sorted(self.folder.glob("epoch-*.ckpt"))
        if not files:
            return None
        stored = torch.load(files[-1], map_location=device, weights_only=True)
        state.model.load_state_dict(stored["model"])
        for parameter, value in zip(state.model.parameters(), stored["raw"], strict=False):
            parameter.data.copy_(value)
        state.optimizer.load_state_dict(stored["optimizer"])
        state.lr_scheduler.load_state_dict(stored["lr_scheduler"])
        self.averages = stored["averages"]
        self.history = stored["history"]
        # the step that the program makes before its next epoch, if it has run one
        state.lr_scheduler.step(metrics=self.history[-1]["val_loss"])
        return len(self.history)

    def _file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.ckpt"


class EpochOrder:
    """The training cells in an order that follows from (seed, epoch), every cell in each epoch.

    Parameters
    ----------
    loader
        The program's own loader.
    seed
        Seed of the order.
    epoch
        First epoch (from 0) to be run.
    """

    def __init__(self, loader: Any, seed: int, epoch: int) -> None:
        self.dataset = loader.dataset
        self.batch_size = loader.batch_size
        self.seed = seed
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.dataset))
        self.epoch += 1
        cells = torch.utils.data.Subset(self.dataset, order.tolist())
        return iter(DataLoader(cells, batch_size=self.batch_size, shuffle=False))


def train(seed: int, result: Path, **options: Any) -> NoReturn:
    """Run the program's training loop from the epoch that was the last, and write the result."""
    files: EpochFiles = options["checkpoint_handler"]
    if options["start_epoch"] != len(files.history):
        raise RuntimeError("the last checkpoint could not be loaded")
    files.ema = options["ema"]
    if files.ema is not None and files.averages is not None:
        files.ema.load_state_dict(files.averages)
    files.patience = options["patience"]
    options["train_loader"] = EpochOrder(options["train_loader"], seed, options["start_epoch"])
    # It saves nothing of an epoch that is not the best so far, and stops by its own count.
    options |= {"logger": files, "save_all_checkpoints": True, "patience": sys.maxsize}
    try:
        if not (files.history and files.is_over()):
            PROGRAM_TRAIN(**options)
    except Finished:
        pass
    model = options["model"]
    files.load_best(model)
    save(remove_pt_head(model, HEAD).cpu() if len(model.heads) > 1 else model.cpu(), result)
    print(END, flush=True)
    # what the program would do now, its own file of the last epoch and tables, is not needed
    sys.exit(0)


def evaluate(**options: Any) -> tuple[float, dict[str, Any]]:
    """Evaluate as the program does; its loss becomes the mean of the batches' losses."""
    loss, metrics = PROGRAM_EVALUATE(**options)
    loader = options["data_loader"]
    metrics["loss"] = float(loss) * len(loader.dataset) / len(loader)
    return metrics["loss"], metrics


def best_epoch(history: list[Row]) -> int:
    """Return the epoch (from 1) with the lowest validation loss, the first of equals."""
    losses = [row["val_loss"] for row in history]
    return int(np.argmin(np.where(np.isnan(losses), np.inf, losses))) + 1


def kept_epochs(history: list[Row]) -> set[int]:
    """Return the epochs whose checkpoints stay: the last two, and the best as of each of them."""
    epochs = set()
    for rows in (history, history[:-1]):
        if rows:
            epochs |= {len(rows), best_epoch(rows)}
    return epochs


def save(content: Any, path: Path) -> None:
    """Write a file that is there as a whole or not at all."""
    temporary = path.with_name(f".part-{os.getpid()}-{path.name}")
    # by a path, torch would write the path's name into the file
    with temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_base(settings: dict[str, Any]) -> None:
    """Write the model to start from.

    Parameters
    ----------
    settings
        `model`, a file or MACE's name of a published model; `head`, which head of several, or
        None; `shifts`, atomic number → addition to the energy of each atom (eV); `output`.
    """
    adapter = load_adapter()
    model = adapter.read_model(adapter.model_file(settings["model"]))
    heads = getattr(model, "heads", [HEAD])
    if len(heads) > 1:
        head = settings["head"] or next((each for each in heads if each == HEAD), None)
        if head not in heads:
            raise ValueError(f"the model has the heads {', '.join(heads)}; give one: head: …")
        model = remove_pt_head(model, head)
    numbers = [int(number) for number in model.atomic_numbers]
    # of one dimension: the program squeezes two, and of one element nothing would be left
    energies = model.atomic_energies_fn.atomic_energies.reshape(-1).clone()
    for number, shift in settings["shifts"].items():
        energies[numbers.index(int(number))] += shift
    model.atomic_energies_fn.atomic_energies = energies
    save(model, Path(settings["output"]))


def load_adapter() -> ModuleType:
    """Import the adapter, which lies beside this file."""
    path = Path(__file__).with_name("mace.py")
    spec = spec_from_file_location("entropy_flows_adapter_mace", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Run what the command line says."""
    base, device, result, *rest = sys.argv[1:]
    settings = json.loads(Path(base).read_text())
    if not Path(settings["output"]).exists():
        write_base(settings)
    if ":" in device:
        torch.cuda.set_device(device)
    args = tools.build_default_arg_parser().parse_args(rest)
    tools.CheckpointHandler = EpochFiles
    tools.train = partial(train, args.seed, Path(result))
    PROGRAM.evaluate = evaluate
    run_train.run(args)


if __name__ == "__main__":
    main()
