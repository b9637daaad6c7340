"""Two processes train as one: torchrun starts them, gloo joins them, gradients are equal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tones import TAGGED, TINY, write_heard, write_tones

from patience import HANGS

SCRIPT = '''
"""Fit by the package's own function and keep the gradients of the first steps."""
import os, sys, torch, yaml
from lightning.pytorch.callbacks import Callback
from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.fit import fit

class Gradients(Callback):
    """Batch norm keeps its statistics: across processes they are shared on GPUs alone."""
    def __init__(self):
        self.kept = []
    def on_train_batch_start(self, trainer, module, batch, index):
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.eval()
    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.kept.append({n: p.grad.clone() for n, p in module.named_parameters()
                          if p.grad is not None})

keep = Gradients()
config = FitConfig.model_validate(yaml.safe_load(open("run.yaml")))
fit(config, sys.argv[1], sys.argv[2], callbacks=[keep])
if os.environ.get("RANK", "0") == "0":
    torch.save(keep.kept, sys.argv[2] + "/gradients.pt")
'''


PICTURES = TINY | {
    "augment": {},
    "network": TINY["network"] | {"dropout": 0},
    "loss": {"clip_loss_x": 1, "labels_loss": 0.5, "class_aware": True},
    "run": {"epochs": 1},
}
HEARD = TAGGED | {
    "augment": {},
    "network": TAGGED["network"] | {"dropout": 0},
    "loss": TAGGED["loss"] | {"clip_loss": 0.5},
    "run": {"epochs": 1},
}


@pytest.mark.parametrize(
    ("settings", "write", "parts"),
    [
        (PICTURES, write_tones, ("image_transform", "logit_scale")),
        (HEARD, write_heard, ("tagger_loss.bias", "tagger_features_loss", "names")),
    ],
    ids=["pictures", "heard"],
)
def test_gradients_of_two_processes_equal_those_of_one(
    tmp_path: Path, settings: dict[str, Any], write: Callable[..., Path], parts: tuple[str, ...]
) -> None:
    write(tmp_path / "shards", train=32)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "run.py").write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for launcher, out in (([], "one"), (torchrun, "two")):
        subprocess.run(
            [sys.executable, *launcher, "run.py", "shards", out],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            timeout=HANGS,
        )
    one, two = (
        torch.load(tmp_path / out / "gradients.pt", weights_only=True) for out in ("one", "two")
    )
    assert len(one) == len(two) == 4
    assert one[0].keys() == two[0].keys()
    for part in parts:
        assert any(part in name for name in one[0]), part
    for name, gradient in one[0].items():
        torch.testing.assert_close(two[0][name], gradient, atol=1e-6, rtol=1e-4, msg=name)
        assert gradient.abs().sum() > 0, name
    # After three steps of Adam the last digits have been amplified.
    for name, gradient in one[3].items():
        torch.testing.assert_close(two[3][name], gradient, atol=1e-3, rtol=2e-2, msg=name)
