"""tools/serving: as far as files can be checked without a server, a Docker daemon or a cluster."""

import re
from pathlib import Path

import pytest
import yaml

from clamnet_tf.serving.signatures import DEFAULT, ENCODED, ENCODED_DICOM, PREPARED

FOLDER = Path(__file__).parents[2] / "tools" / "serving"


@pytest.fixture(scope="module")
def objects():
    return {
        each["kind"]: each
        for each in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
    }


def test_kubernetes_objects_fit_their_schemas(objects):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    assert set(objects) == {"PersistentVolumeClaim", "ConfigMap", "Deployment", "Service"}
    for each in objects.values():
        kubernetes_validate.validate(each, "1.32", strict=True)
    objects["Service"]["spec"]["ports"][0]["porto"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(objects["Service"], "1.32", strict=True)
    del objects["Service"]["spec"]["ports"][0]["porto"]


def test_kubernetes_objects_fit_one_another(objects):
    pod = objects["Deployment"]["spec"]["template"]
    assert (
        objects["Deployment"]["spec"]["selector"]["matchLabels"]
        == pod["metadata"]["labels"]
        == objects["Service"]["spec"]["selector"]
    )
    (container,) = pod["spec"]["containers"]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (
        {port["targetPort"]: port["port"] for port in objects["Service"]["spec"]["ports"]}
        == named
        == {"grpc": 8500, "rest": 8501}
    )
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert (
        volumes["models"]["persistentVolumeClaim"]["claimName"]
        == objects["PersistentVolumeClaim"]["metadata"]["name"]
    )
    assert volumes["configuration"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    for name, text in objects["ConfigMap"]["data"].items():
        assert text == (FOLDER / name).read_text(encoding="utf-8")


def test_the_compose_file_fits_the_specification():
    compose_spec = pytest.importorskip("compose_spec")
    filled = re.sub(
        r"\$\{[A-Z]+:-([^}]*)\}", r"\1", (FOLDER / "docker-compose.yml").read_text(encoding="utf-8")
    )
    compose_spec.PyCompose.from_yaml(filled)
    with pytest.raises(ValueError, match="restarted"):
        compose_spec.PyCompose.from_yaml(filled.replace("restart:", "restarted:"))


def test_compose_and_kubernetes_start_the_same_server(objects):
    service = yaml.safe_load((FOLDER / "docker-compose.yml").read_text(encoding="utf-8"))["services"][
        "serving"
    ]
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    plain = [
        argument.replace("${NAME:-mri_carcinoma}", "mri_carcinoma")
        for argument in (*service["entrypoint"], *service["command"])
    ]
    assert plain == [*container["command"], *container["args"]]
    assert container["image"] in service["image"]
    mounted = {Path(volume.split(":")[-2]).name for volume in service["volumes"]}
    assert {"batching_parameters.txt", "monitoring.config"} <= mounted
    for name in ("batching_parameters.txt", "monitoring.config"):
        assert (FOLDER / name).is_file() and f"/configuration/{name}" in " ".join(plain)


def test_the_largest_allowed_batch_is_the_maximum():
    text = (FOLDER / "batching_parameters.txt").read_text(encoding="utf-8")
    sizes = [int(line.split(":")[1]) for line in text.splitlines() if line.startswith("allowed_batch_sizes")]
    assert f"max_batch_size {{ value: {sizes[-1]} }}" in text and sizes == sorted(
        sizes
    )  # the server refuses anything else


def test_the_page_names_every_signature():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in (DEFAULT, PREPARED, ENCODED, ENCODED_DICOM))
