"""Faults inside NequIP's own process: Python imports this first where PYTHONPATH names this folder.

The file named by NEQUIP_FAULT lists what happens, [{"kind": …, "epoch": …}, …]; a kill removes it,
so that it strikes once. Epochs are counted from 1.
"""

import io
import json
import os
import signal
import sys
import time
from pathlib import Path

FILE = Path(os.environ.get("NEQUIP_FAULT", "/nonexistent"))


def kill():
    FILE.unlink()
    os.kill(os.getpid(), signal.SIGKILL)


def kill_in_the_second_batch(fault):
    from nequip.train import NequIPLightningModule

    step = NequIPLightningModule.training_step

    def struck(self, batch, batch_idx, *args):
        if (self.current_epoch + 1, batch_idx) == (fault["epoch"], 1):
            kill()
        return step(self, batch, batch_idx, *args)

    NequIPLightningModule.training_step = struck


def slow_batches(_fault):
    from nequip.train import NequIPLightningModule

    step = NequIPLightningModule.training_step
    NequIPLightningModule.training_step = lambda *arguments: time.sleep(0.3) or step(*arguments)


def kill_while_writing_a_checkpoint(fault):
    import torch

    save = torch.save

    def struck(state, file, **options):
        if state["epoch"] + 1 == fault["epoch"]:
            whole = io.BytesIO()
            save(state, whole, **options)
            file.write(whole.getvalue()[: whole.tell() // 2])
            file.flush()
            kill()
        save(state, file, **options)

    torch.save = struck


def kill_after_writing_a_checkpoint(fault):
    from lightning import Trainer

    save = Trainer.save_checkpoint

    def struck(self, *args, **options):
        save(self, *args, **options)
        if self.current_epoch + 1 == fault["epoch"]:
            kill()

    Trainer.save_checkpoint = struck


def full_disk(fault):
    from lightning import Trainer

    save = Trainer.save_checkpoint

    def struck(self, path, **options):
        if self.current_epoch + 1 == fault["epoch"]:
            FILE.unlink()
            Path(f"{path}.tmp").symlink_to("/dev/full")
        save(self, path, **options)

    Trainer.save_checkpoint = struck


def kill_before_the_test(_fault):
    from lightning import Trainer

    Trainer.test = lambda *_args, **_options: kill()


def kill_while_packaging(_fault):
    from torch.package import PackageExporter

    PackageExporter.close = lambda _self: kill()


def little_gpu_memory(fault):
    """From this epoch on, no more structures fit than the fault says."""
    import torch
    from nequip.train import NequIPLightningModule

    step = NequIPLightningModule.training_step

    def struck(self, batch, *args):
        if self.current_epoch + 1 >= fault["epoch"] and len(batch["num_atoms"]) > fault["fits"]:
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB free."
            )
        return step(self, batch, *args)

    NequIPLightningModule.training_step = struck


if FILE.exists():
    for wanted in json.loads(FILE.read_text()):
        if "entropy_flows.train.nequip_program" in sys.orig_argv:
            globals()[wanted["kind"]](wanted)
