"""Mark a folder of studies with nnU-Net's predictor; runs in .venv-prediction.

    nnunet_prediction.py --convert --studies FOLDER --out NIFTI --report FILE       DICOM to NIfTI (dcm2niix)
    nnunet_prediction.py --size 16 9 --studies NIFTI --out FOLDER --report FILE     mark
    nnunet_prediction.py --gflop 2.5 --report FILE                                  choose the size

The network is nnU-Net's PlainConvUNet for patches of 128 x 128 pixels (2d), with random weights: time does
not depend on them. The target spacing lets one patch hold a slice, as our network sees it, so that there is
one tile per slice.
"""

import time

BEGAN = time.perf_counter()
import argparse
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SIDE = 128
SPACING_MM = 1.82  # the largest simulated field of view, 232 mm, over 128 pixels, rounded up
LOW_HU, HIGH_HU = -20.0, 100.0
STAGES = 6  # 128 pixels to 4
MOST_MORE = 2 * STAGES - 1  # stages of encoder and decoder
MOST_FEATURES = 512
ENDING = ".nii"
RESAMPLINGS = {
    "default": (
        "resample_data_or_seg_to_shape",
        {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
    ),
    "torch": (
        "resample_torch_fornnunet",
        {"is_seg": False, "force_separate_z": False, "memefficient_seg_resampling": False},
        {"is_seg": True, "force_separate_z": False, "memefficient_seg_resampling": False},
        {"is_seg": False, "force_separate_z": False, "memefficient_seg_resampling": False},
    ),
}


def convert(studies: Path, out: Path) -> None:
    """Write a NIfTI file per series, two series at a time."""
    out.mkdir(parents=True)
    program = Path(sys.executable).with_name("dcm2niix")

    def one(folder: Path) -> None:
        command = [program, "-b", "n", "-z", "n", "-f", f"{folder.parent.name}_0000", "-o", out, folder]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)

    folders = sorted({path.parent for path in studies.rglob("*.dcm")})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, folders))
    written = sorted(path.name for path in out.iterdir())
    wanted = [f"{folder.parent.name}_0000{ENDING}" for folder in folders]
    if written != wanted:
        sys.exit(f"Error: dcm2niix wrote {', '.join(written)}; expected {', '.join(wanted)}")


def convolutions_of(more: int) -> tuple[list, list]:
    """Return the convolutions per stage of encoder and decoder: nnU-Net's two, and a third in `more` stages.

    A convolution takes the same operations in every stage. The stages of the encoder come first.
    """
    extra = [int(place < more) for place in range(MOST_MORE)]
    return [2 + each for each in extra[:STAGES]], [2 + each for each in extra[STAGES:]]


def sizes():
    """Yield (features of the first stage, stages with a third convolution) in the order of operations.

    Multiples of 8 features are computed best by oneDNN.
    """
    for width in itertools.count(8, 8):
        for more in range(MOST_MORE + 1):
            yield width, more


def network_of(size):
    """Return nnU-Net's plain U-Net of a size that `sizes` yields."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from torch import nn

    width, more = size
    encoder, decoder = convolutions_of(more)
    return PlainConvUNet(
        input_channels=1,
        n_stages=STAGES,
        features_per_stage=[min(width * 2**stage, MOST_FEATURES) for stage in range(STAGES)],
        conv_op=nn.Conv2d,
        kernel_sizes=3,
        strides=[1, *[2] * (STAGES - 1)],
        n_conv_per_stage=encoder,
        num_classes=2,
        n_conv_per_stage_decoder=decoder,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )


def plans_of(resampling: str) -> dict:
    """Return plans of a 2d configuration, as far as the predictor reads them."""
    function, of_data, of_masks, of_logits = RESAMPLINGS[resampling]
    configuration = {
        "data_identifier": "measured",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 1,
        "patch_size": [SIDE, SIDE],
        "median_image_size_in_voxels": [SIDE, SIDE],
        "spacing": [SPACING_MM, SPACING_MM],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": function,
        "resampling_fn_data_kwargs": of_data,
        "resampling_fn_seg": function,
        "resampling_fn_seg_kwargs": of_masks,
        "resampling_fn_probabilities": function,
        "resampling_fn_probabilities_kwargs": of_logits,
        "batch_dice": True,
        "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []},
    }
    intensities = {
        "mean": (LOW_HU + HIGH_HU) / 2,
        "std": 20.0,
        "percentile_00_5": LOW_HU,
        "percentile_99_5": HIGH_HU,
    }
    return {
        "dataset_name": "measured",
        "plans_name": "measured",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": intensities},
        "configurations": {"2d": configuration},
    }


def mark(arguments) -> None:
    """Mark every NIfTI file of the folder, and write the report."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from peer_networks import TimedNetwork, versions, write_report

    torch.set_num_threads(os.cpu_count())
    timed = TimedNetwork(network_of(arguments.size).eval())
    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_mirroring=arguments.mirror,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    plans = PlansManager(plans_of(arguments.resampling))
    dataset = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "haemorrhage": 1},
        "file_ending": ENDING,
        "numTraining": 1,
    }
    predictor.manual_initialization(
        timed, plans, plans.get_configuration("2d"), [timed.state_dict()], dataset, "nnUNetTrainer", (0, 1)
    )
    arguments.out.mkdir(parents=True)
    ready = time.perf_counter() - BEGAN
    if arguments.processes:
        predictor.predict_from_files(
            str(arguments.studies),
            str(arguments.out),
            num_processes_preprocessing=arguments.processes,
            num_processes_segmentation_export=arguments.processes,
        )
    else:
        predictor.predict_from_files_sequential(str(arguments.studies), str(arguments.out))
    names = ("nnunetv2", "torch", "SimpleITK", "dcm2niix")
    write_report(
        arguments.report,
        start=ready,
        network=timed.seconds,
        slices=timed.slices,
        versions=versions(*names),
    )


def choose(gflop: float, report: Path) -> None:
    """Write the size whose operations come closest to `gflop`, and these."""
    from choosing import closest
    from peer_networks import gflop_of, write_report

    size, found = closest(sizes(), lambda size: gflop_of(network_of(size), 1, SIDE), gflop)
    encoder, decoder = (" ".join(map(str, each)) for each in convolutions_of(size[1]))
    words = f"{size[0]} features at first, {encoder} and {decoder} convolutions per stage"
    write_report(report, size=size, gflop=found, network=words)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--convert", action="store_true")
    parser.add_argument("--gflop", type=float)
    parser.add_argument("--size", type=int, nargs=2)
    parser.add_argument("--studies", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--mirror", action="store_true", help="average the four mirrored views")
    parser.add_argument("--resampling", choices=RESAMPLINGS, default="default")
    parser.add_argument(
        "--processes", type=int, default=0, help="for preparing and for writing; 0: no others"
    )
    arguments = parser.parse_args()
    if arguments.convert:
        convert(arguments.studies, arguments.out)
    elif arguments.gflop:
        choose(arguments.gflop, arguments.report)
    else:
        mark(arguments)


if __name__ == "__main__":
    main()
