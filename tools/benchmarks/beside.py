"""Measure other projects beside this one, at their best settings, in the same rounds."""

import tempfile
from pathlib import Path

from benchmarks.inference import saved, settle, source_of, written
from benchmarks.inputs import VIEWS, pair_maker
from benchmarks.rounds import interleaved
from benchmarks.rows import figure, milliseconds, ratio
from benchmarks.subjects import our_step, slices_for

from clamnet_tf.export.onnx import converted as to_onnx

GROUP = "Other projects"


def rows(size, peers) -> list:
    """Return the rows of the peers (benchmarks.peers.Peers); none without them.

    The pipeline comes first: after large networks were trained in this process it keeps one core busy instead
    of two.
    """
    return [*pipeline(size, peers), *training(size, peers), *inference(size, peers)]


def training(size, peers) -> list:
    """Measure one optimizer step at the largest batch.

    MONAI's network has the same architecture, the others are smaller.
    """
    batch = max(size.batches)
    found = interleaved(
        {
            "ours": our_step(size.network("batch"), batch),
            **{name: start(batch) for name, start in peers.training().items()},
        },
        size.rounds,
    )
    return [
        ratio(
            GROUP,
            f"step of {batch}: ours against {name}",
            theirs,
            found["ours"],
            at_least=1.5 if name.startswith("MONAI") else None,
            sides={"ours": milliseconds(found["ours"]), name: milliseconds(theirs)},
            note=f"{figure(batch / found['ours'].clock)} against {figure(batch / theirs.clock)} images/s"
            + ("" if name.startswith("MONAI") else "; a smaller network, no target"),
        )
        for name, theirs in found.items()
        if name != "ours"
    ]


def pipeline(size, peers) -> list:
    """Measure the same transforms on cached slices."""
    found = interleaved({"ours": pair_maker(size), **peers.inputs()}, size.rounds)
    count = size.pipeline_batches * max(size.batches)
    return [
        ratio(
            GROUP,
            f"prepared slices to augmented pairs against {name}",
            theirs,
            found["ours"],
            at_least=2,
            sides={
                "ours": f"{figure(count / found['ours'].clock)} slices/s",
                name: f"{figure(count / theirs.clock)} slices/s",
            },
            note=VIEWS,
        )
        for name, theirs in found.items()
        if name != "ours"
    ]


def inference(size, peers) -> list:
    """Measure one slice; OpenVINO runs our own network."""
    network = size.network("batch")
    settle(network)
    source = source_of(network, "mean")
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "network.onnx", to_onnx(source))
        runs = {
            "ours": saved(source, Path(folder) / "saved", slices_for(network, 1)),
            **{name: start(path, 1) for name, start in peers.inference().items()},
        }
        found = interleaved(runs, 2 * size.rounds + 1)
    return [
        ratio(
            GROUP,
            f"inference: our SavedModel against {name}",
            theirs,
            found["ours"],
            sides={"ours": milliseconds(found["ours"]), name: milliseconds(theirs)},
        )
        for name, theirs in found.items()
        if name != "ours"
    ]
