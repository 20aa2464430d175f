"""Measure one job per line of standard input in .venv-peers, and answer [clock, processor] in seconds.

It needs nothing of clamnet-tf. Every network is tried in the settings that its users have (memory format, for
inference also torch.compile) when it is first requested, and measured in the fastest of them.
"""

import functools
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

SIDE = int(sys.argv[1])
#: As in benchmarks.subjects: filters, and views.
FEATURES = (32, 64, 128, 256, 512, 32)
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def network_of(name: str):
    if name.startswith("MONAI"):
        from monai.networks.nets import BasicUNetPlusPlus

        return BasicUNetPlusPlus(
            spatial_dims=2,
            in_channels=1,
            out_channels=2,
            features=FEATURES,
            deep_supervision=True,
            norm="batch",
            act="relu",
        )
    if name.startswith("smp"):
        import segmentation_models_pytorch as smp

        return smp.UnetPlusPlus("resnet34", encoder_weights=None, in_channels=1, classes=2)
    from medicai.models import UNetPlusPlus

    return UNetPlusPlus(
        input_shape=(SIDE, SIDE, 1), encoder_name="resnet34", num_classes=2, classifier_activation=None
    )


def channels_first(name: str) -> bool:
    return not name.startswith("medicai")


def outputs_of(network, images) -> list:
    """Return the logits of every head."""
    found = network(images)
    return list(found) if isinstance(found, (list, tuple)) else [found]


def trainer(name: str, batch: int, memory):
    network = network_of(name).train()
    shape = (batch, 1, SIDE, SIDE) if channels_first(name) else (batch, SIDE, SIDE, 1)
    images, truth = torch.randn(shape), torch.randint(0, 2, (batch, SIDE, SIDE))
    if channels_first(name):
        network, images = network.to(memory_format=memory), images.to(memory_format=memory)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        outputs = outputs_of(network, images)
        outputs = outputs if channels_first(name) else [each.permute(0, 3, 1, 2) for each in outputs]
        sum(torch.nn.functional.cross_entropy(each, truth) for each in outputs).backward()
        optimizer.step()

    return step


def predictor(name: str, batch: int, memory, compiled: bool):
    network = network_of(name).eval()
    images = torch.randn((batch, 1, SIDE, SIDE) if channels_first(name) else (batch, SIDE, SIDE, 1))
    if channels_first(name):
        network, images = network.to(memory_format=memory), images.to(memory_format=memory)
    called = torch.compile(network) if compiled else network

    def run():
        with torch.inference_mode():
            outputs_of(called, images)

    return run


def fastest(found: dict):
    """Return the fastest of several callables; each is called twice, the second time counts."""
    seconds = {}
    for name, run in found.items():
        run()
        began = time.perf_counter()
        run()
        seconds[name] = time.perf_counter() - began
    best = min(seconds, key=seconds.get)
    print(
        f"peers: {best} of { ({name: round(taken, 3) for name, taken in seconds.items()}) }",
        file=sys.stderr,
        flush=True,
    )
    return found[best]


@functools.cache
def runner(job: str, network: str = "", batch: int = 1, batches: int = 0, path: str = ""):
    if job == "train":
        return fastest(
            {
                name: trainer(network, batch, memory)
                for name, memory in FORMATS.items()
                if channels_first(network) or name == "contiguous"
            }
        )
    if job == "infer":
        found = {
            name: predictor(network, batch, memory, False)
            for name, memory in FORMATS.items()
            if channels_first(network) or name == "contiguous"
        }
        if network.startswith("MONAI") and SIDE > 64:
            found["compiled"] = predictor(network, batch, torch.contiguous_format, True)
        return fastest(found)
    if job == "openvino":
        return openvino_of(path, batch)
    return fastest({f"{workers} workers": pipeline(batch, batches, workers) for workers in (0, 2)})


def openvino_of(path: str, batch: int):
    import openvino

    model = openvino.Core().compile_model(
        path, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    )
    images = np.random.default_rng(1).normal(size=(batch, SIDE, SIDE, 1)).astype(np.float32)
    return lambda: model([images])


def pipeline(batch: int, batches: int, workers: int):
    """Return a callable that makes two views of cached slices with their organ.

    The transforms are affine (rotation, stretch, zoom), flip, blur, contrast, brightness, noise.
    """
    from monai import transforms
    from monai.data import CacheDataset, DataLoader

    rng = np.random.default_rng(0)
    slices = [
        {
            "image": rng.normal(size=(1, SIDE, SIDE)).astype(np.float32),
            "organ": np.ones((1, SIDE, SIDE), np.float32),
        }
        for _ in range(batch * batches)
    ]
    steps = [
        transforms.ToTensord(["image", "organ"]),
        transforms.CopyItemsd(["image", "organ"], times=1, names=["image_b", "organ_b"]),
    ]
    for image, organ in (("image", "organ"), ("image_b", "organ_b")):
        steps += [
            transforms.RandAffined(
                [image, organ],
                prob=1.0,
                rotate_range=0.17,
                scale_range=(0.2, 0.2),
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            transforms.RandFlipd([image, organ], prob=0.5, spatial_axis=1),
            transforms.RandGaussianSmoothd(image, prob=1.0, sigma_x=(0.1, 0.6), sigma_y=(0.1, 0.6)),
            transforms.RandScaleIntensityd(image, factors=0.2, prob=1.0),
            transforms.RandShiftIntensityd(image, offsets=0.2, prob=1.0),
            transforms.RandGaussianNoised(image, prob=1.0, std=0.05),
        ]
    dataset = CacheDataset(slices, transforms.Compose(steps), progress=False)
    loader = DataLoader(
        dataset, batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )

    def run():
        for _ in loader:
            pass

    return run


def processor_seconds() -> float:
    """Return the processor seconds of this process and its living children."""
    total, tick = time.process_time(), os.sysconf("SC_CLK_TCK")
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split():
        numbers = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        total += (int(numbers[11]) + int(numbers[12])) / tick
    return total


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # what libraries print goes to standard error
    os.dup2(2, 1)
    torch.set_num_threads(os.cpu_count())
    installed = {
        each.metadata["Name"].replace("-", "_"): each.version for each in importlib.metadata.distributions()
    }
    names = ("torch", "monai", "openvino", "segmentation_models_pytorch", "medicai")
    print(
        json.dumps({name: installed[name] for name in names if name in installed}), file=answers, flush=True
    )
    for line in sys.stdin:
        run = runner(**json.loads(line))
        clock, processor = time.perf_counter(), processor_seconds()
        run()
        print(
            json.dumps([time.perf_counter() - clock, processor_seconds() - processor]),
            file=answers,
            flush=True,
        )


if __name__ == "__main__":
    main()
