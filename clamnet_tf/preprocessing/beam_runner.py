"""Prepare shards with Apache Beam, on this machine or on many.

Beam's own options choose the runner: its DirectRunner on this machine, Dataflow, Flink or Spark elsewhere.
Every worker reads the images, the plan and the target by the same paths, so when several machines take part,
all paths lie on a shared file system (NFS, Filestore, Lustre, a mounted bucket), and clamnet-tf with its
extra `beam` is installed on the workers. An element of the pipeline is the number of a shard; the shard
itself is described in the plan, since runners refuse a graph that names ten million files. A shard is written
completely or not at all and is found again, so a killed pipeline, or a worker's second attempt, continues
where it stopped. A shard that cannot be prepared is reported at the end; the others are finished.
"""

import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.errors import ClamnetError, DataError, EnvironmentFailure
from clamnet_tf.files import make_folder, write_json
from clamnet_tf.preprocessing.shards import Shard, shards_of


class PrepareShard(beam.DoFn):
    """Turn the number of a shard into a line of JSON: {"shard", and what `make` returned, or "error"}."""

    def __init__(self, plan: Path, make: Callable, open_organ_network: Callable):
        self.plan, self.make, self.open_organ_network = plan, make, open_organ_network

    def setup(self):
        self.organ_network = functools.cache(self.open_organ_network)

    def process(self, number):
        try:
            shard = Shard.from_row(json.loads((self.plan / f"{number}.json").read_text(encoding="utf-8")))
            result = self.make(shard, organ_network=self.organ_network())
        except (ClamnetError, OSError) as error:
            result = {"error": str(error)}
        yield json.dumps({"shard": number, **result})


def run_on_beam(
    manifest: Manifest, target: Path, make: Callable, open_organ_network: Callable, options=()
) -> list[dict]:
    """Call `make(shard, organ_network=...)` for every shard in a Beam pipeline.

    Args:
        manifest: the manifest to prepare.
        target: folder that all workers reach; the plan lies there while the pipeline runs.
        make: picklable function that prepares one shard and returns a small dict that JSON can hold.
        open_organ_network: picklable function that returns what finds the organ, or None.
        options: options of a Beam pipeline (--runner=FlinkRunner, --direct_num_workers=2 ...).

    Returns:
        What `make` returned for each shard, in the order of the shards.

    Raises:
        DataError: some shards failed; the message lists their errors.
        EnvironmentFailure: the pipeline itself failed.
    """
    plan = Path(tempfile.mkdtemp(prefix=".plan-", dir=make_folder(target)))
    try:
        count = 0
        for shard in shards_of(manifest):
            write_json(plan / f"{shard.number}.json", shard.row())
            count += 1
        try:
            with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
                lines = (
                    pipeline
                    | "Shards" >> beam.Create(range(count))
                    | "Spread" >> beam.Reshuffle()
                    | "Prepare" >> beam.ParDo(PrepareShard(plan, make, open_organ_network))
                )
                lines | "Results" >> beam.io.WriteToText(str(plan / "results"))
        except (RuntimeError, ValueError) as error:
            raise EnvironmentFailure(f"The Beam pipeline failed: {error}") from error
        results = [
            json.loads(line)
            for path in plan.glob("results-*")
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
    finally:
        shutil.rmtree(plan, ignore_errors=True)
    failed = [result["error"] for result in results if "error" in result]
    if failed:
        raise DataError(
            f"{len(failed)} of {count} shards could not be prepared, the others are "
            f"finished:\n{listed(failed)}"
        )
    return sorted(results, key=lambda result: result["shard"])
