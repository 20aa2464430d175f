"""Mark a folder of DICOM studies with MONAI, as a bundle for inference does; runs in .venv-prediction.

    monai_prediction.py --size 16 24 --studies FOLDER --out FOLDER --report FILE    mark
    monai_prediction.py --gflop 2.5 --report FILE       choose size, memory format and slices per pass

The weights are random: time does not depend on them. The network gives one logit per pixel, which is less to
bring back to the files' grid than two classes. As in our prediction, probabilities are interpolated on the
files' grid, and then cut.
"""

import time

BEGAN = time.perf_counter()
import argparse
import itertools
import os
from pathlib import Path

import torch
from choosing import closest, fastest
from monai.data import DataLoader, Dataset, decollate_batch
from monai.inferers import SliceInferer
from monai.networks.nets import BasicUNetPlusPlus
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    Resized,
    SaveImaged,
    ScaleIntensityRanged,
)
from peer_networks import TimedNetwork, gflop_of, versions, write_report

SIDE = 128
LOW_HU, HIGH_HU = -20.0, 100.0
READERS = {"itk": "ITKReader", "pydicom": "PydicomReader"}
BATCHES, SLICES = (1, 2, 5, 10), 10
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def features_of(size) -> tuple:
    """Return the features of MONAI's six places for (features of the first level, of the second)."""
    width, second = size
    return (width, second, 2 * width, 4 * width, 8 * width, width)


def network_of(size):
    """Return MONAI's BasicUNetPlusPlus of five levels."""
    return BasicUNetPlusPlus(spatial_dims=2, in_channels=1, out_channels=1, features=features_of(size))


def sizes():
    """Yield sizes in the order of their operations; multiples of 8 features are computed best by oneDNN."""
    for width in itertools.count(8, 8):
        for second in range(width, 2 * width, 8):
            yield width, second


def before(reader: str):
    """Return the transforms from a folder of DICOM to slices of SIDE x SIDE in 0..1."""
    return Compose(
        [
            LoadImaged("image", reader=READERS[reader]),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS", labels=None),
            ScaleIntensityRanged("image", LOW_HU, HIGH_HU, 0.0, 1.0, clip=True),
            Resized("image", spatial_size=(SIDE, SIDE, -1), mode="trilinear"),
        ]
    )


def after(transforms, studies: Path, out: Path):
    """Return the transforms from logits to a NIfTI mask on the grid of the files."""
    return Compose(
        [
            Activationsd("pred", sigmoid=True),
            Invertd("pred", transform=transforms, orig_keys="image", nearest_interp=False, to_tensor=True),
            AsDiscreted("pred", threshold=0.5),
            SaveImaged(
                "pred",
                output_dir=out,
                output_postfix="mask",
                output_ext=".nii.gz",
                output_dtype="uint8",
                data_root_dir=str(studies),
                resample=False,
                print_log=False,
            ),
        ]
    )


def mark(arguments) -> None:
    """Mark every series below the folder, and write the report."""
    torch.set_num_threads(os.cpu_count())
    memory = FORMATS[arguments.memory]
    network = network_of(arguments.size).eval().to(memory_format=memory)
    timed = TimedNetwork(
        lambda images: network(images.contiguous(memory_format=memory)), lambda result: result[0]
    )
    folders = sorted({path.parent for path in arguments.studies.rglob("*.dcm")})
    transforms = before(arguments.reader)
    post = after(transforms, arguments.studies, arguments.out)
    inferer = SliceInferer(roi_size=(SIDE, SIDE), sw_batch_size=arguments.batch, spatial_dim=2, overlap=0)
    loader = DataLoader(
        Dataset([{"image": str(folder)} for folder in folders], transforms), num_workers=arguments.workers
    )
    ready = time.perf_counter() - BEGAN
    with torch.inference_mode():
        for batch in loader:
            batch["pred"] = inferer(batch["image"], timed)
            for item in decollate_batch(batch):
                post(item)
    write_report(
        arguments.report,
        start=ready,
        network=timed.seconds,
        slices=timed.slices,
        versions=versions("monai", "torch", "itk", "pydicom"),
    )


def choose(gflop: float, report: Path) -> None:
    """Write the size whose operations come closest to `gflop`, these, and the fastest way to compute it."""
    torch.set_num_threads(os.cpu_count())
    size, found = closest(sizes(), lambda size: gflop_of(network_of(size), 1, SIDE), gflop)
    runs = {f"{memory} {batch}": passes(size, memory, batch) for memory in FORMATS for batch in BATCHES}
    best, milliseconds = fastest(runs)
    memory, batch = best.split()
    write_report(
        report,
        size=size,
        gflop=found,
        network=f"features {', '.join(map(str, features_of(size)))}",
        memory=memory,
        batch=int(batch),
        milliseconds={name: each / SLICES for name, each in milliseconds.items()},
    )


def passes(size, memory: str, batch: int):
    """Return a callable that computes SLICES slices, `batch` per pass."""
    network = network_of(size).eval().to(memory_format=FORMATS[memory])
    images = torch.randn(batch, 1, SIDE, SIDE).contiguous(memory_format=FORMATS[memory])

    def run():
        with torch.inference_mode():
            for _ in range(SLICES // batch):
                network(images)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gflop", type=float)
    parser.add_argument("--size", type=int, nargs=2)
    parser.add_argument("--studies", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--reader", choices=READERS, default="itk")
    parser.add_argument("--memory", choices=FORMATS, default="channels_last")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    if arguments.gflop:
        choose(arguments.gflop, arguments.report)
    else:
        mark(arguments)


if __name__ == "__main__":
    main()
