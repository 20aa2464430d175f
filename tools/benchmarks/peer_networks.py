"""Count and time networks of PyTorch, for the scripts that run in .venv-prediction; needs nothing of
clamnet-tf.
"""

import importlib.metadata
import json
import time
from pathlib import Path

import torch


def gflop_of(network, channels: int, side: int) -> float:
    """Return the operations of the convolutions for one slice, a multiply-add counted as two, in 1e9."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.zeros(1, channels, side, side))
    return counter.get_total_flops() / 1e9


class TimedNetwork(torch.nn.Module):
    """Compute a network and sum up the clock seconds and the slices of all its passes."""

    def __init__(self, network, output=lambda result: result):
        super().__init__()
        self.network, self.output, self.seconds, self.slices = network, output, 0.0, 0

    def forward(self, images):
        """Return the network's output for (B, C, H, W)."""
        began = time.perf_counter()
        result = self.output(self.network(images))
        self.seconds += time.perf_counter() - began
        self.slices += len(images)
        return result


def versions(*names: str) -> dict:
    """Return distribution -> version."""
    return {name: importlib.metadata.version(name) for name in names}


def write_report(path: Path, **entries) -> None:
    """Write what the measuring tool reads."""
    path.write_text(json.dumps(entries), encoding="utf-8")
