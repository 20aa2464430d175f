"""The job files of tools/cluster: schemas of Kubernetes, and the TF_CONFIG that the shell inside them
makes.
"""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from clamnet_tf.runtime.cluster import from_tf_config

FOLDER = Path(__file__).parents[2] / "tools" / "cluster"


def documents(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def test_kubernetes_takes_the_job():
    validate = pytest.importorskip("kubernetes_validate")
    for document in documents("kubernetes-job.yaml"):
        validate.validate(document, validate.latest_version(), strict=True)
    [job] = documents("kubeflow-tfjob.yaml")
    worker = job["spec"]["tfReplicaSpecs"]["Worker"]
    validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker"}, **worker["template"]},
        validate.latest_version(),
        strict=True,
    )
    assert [container["name"] for container in worker["template"]["spec"]["containers"]] == ["tensorflow"]


def test_the_pods_find_one_another_and_the_command_exists(tmp_path):
    service, _, job = documents("kubernetes-job.yaml")
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    names = {variable["name"]: variable["value"] for variable in container["env"]}
    assert int(names["WORKERS"]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert (
        pod["subdomain"] == service["metadata"]["name"]
        and service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    )
    stand_in = tmp_path / "clamnet-tf"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$TF_CONFIG" "$@"\n')
    stand_in.chmod(0o755)
    environment = {
        **os.environ,
        **names,
        "JOB_COMPLETION_INDEX": "1",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    told = subprocess.run(
        [*container["command"], *container["args"]],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    cluster = from_tf_config(told[0])
    host = f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert (cluster.index, cluster.addresses[0]) == (1, f"{host}:{service['spec']['ports'][0]['port']}")
    assert_options_exist(told[1:])


def test_the_other_files_name_options_that_exist():
    [job] = documents("kubeflow-tfjob.yaml")
    [container] = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    assert_options_exist(container["command"][1:])
    script = FOLDER / "slurm.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    call = script.read_text().replace("\\\n", " ").split("clamnet-tf fit", 1)[1].splitlines()[0]
    assert_options_exist(["fit", *call.split()])


def assert_options_exist(words):
    from clamnet_tf.cli.fit import fit

    known = {option for parameter in fit.params for option in parameter.opts}
    assert words[0] == "fit" and {word for word in words if word.startswith("--")} <= known
