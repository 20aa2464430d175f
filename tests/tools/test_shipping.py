"""What ships the package: workflows, Dockerfile, release notes; slow: a wheel in an empty environment."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))

import release_notes  # noqa: E402

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BUILT_FROM = (
    "clamnet_tf recipes zoo setup.cfg pyproject.toml MANIFEST.in LICENSE README.md CHANGELOG.md".split()
)


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def jobs(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_tools_that_exist(path):
    commands = [
        command
        for job in jobs(path).values()
        for step in job.get("steps", [])
        for command in step.get("run", "").splitlines()
    ]
    called = re.findall(r"\btools/[\w.-]+", "\n".join(commands))
    for name in called:
        tool = ROOT / name
        assert tool.is_file(), name
        assert tool.suffix == ".py" or os.access(tool, os.X_OK), f"{name} cannot be executed"
    assert called


def test_all_pythons_of_the_metadata_are_tested(setup):
    named = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    tested = jobs(ROOT / ".github" / "workflows" / "tests.yml")["tests"]["strategy"]["matrix"]["python"]
    assert tested == named


def test_ci_runs_what_the_workflows_run():
    """.ci/run and the workflows call the same scripts; tools/test-wheel is too slow for it."""
    quick = set(
        re.findall(r"^(?:exec )?(tools/[\w-]+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.M)
    )
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    assert quick == {"tools/lint", "tools/docs", "tools/test"}
    assert quick | {"tools/test-wheel"} <= set(re.findall(r"tools/[\w-]+", text))


def written(folder, version="0.2.0", package="0.2.0", section="0.2.0", text="\n### Fixed\n\n- One thing.\n"):
    (folder / "clamnet_tf").mkdir()
    (folder / "clamnet_tf" / "__init__.py").write_text(f'__version__ = "{package}"\n', encoding="utf-8")
    (folder / "CITATION.cff").write_text(f"version: {version}\n", encoding="utf-8")
    (folder / "CHANGELOG.md").write_text(
        f"# Changelog\n\n## [Unreleased]\n\n## [{section}] - 2026-12-01\n{text}\n"
        "## [0.1.0] - 2026-11-26\n\n- Old.\n",
        encoding="utf-8",
    )
    return folder


def test_release_notes_are_the_section_of_the_version(tmp_path):
    assert release_notes.notes("v0.2.0", written(tmp_path)) == "### Fixed\n\n- One thing.\n"


@pytest.mark.parametrize(
    ("tag", "changed", "said"),
    [
        ("0.2.0", {}, "expected a tag such as v0.1.0"),
        ("v0.2.0", {"package": "0.1.9"}, "__init__.py says version 0.1.9"),
        ("v0.2.0", {"version": "0.1.9"}, "CITATION.cff says version 0.1.9"),
        ("v0.2.0", {"section": "0.3.0"}, r"no section \[0.2.0\]"),
        ("v0.2.0", {"text": ""}, r"no section \[0.2.0\]"),
    ],
)
def test_versions_that_disagree_are_not_released(tmp_path, tag, changed, said):
    with pytest.raises(SystemExit, match=said):
        release_notes.notes(tag, written(tmp_path, **changed))


def test_this_version_can_be_released():
    import clamnet_tf

    assert release_notes.notes(f"v{clamnet_tf.__version__}").startswith("###")


# The Dockerfile. No Docker daemon is needed: its shell script runs in bash, with a stand-in for pip.


def instructions():
    """The instructions of the Dockerfile, each on one line, without comments."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    return [line.strip() for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]


STAND_IN = """#!/bin/bash
if [[ "$1" == */provide-tensorflow ]]; then echo "$2/tensorflow-provided.whl"; else echo "$*" >>"{log}"; fi
"""


def installed(tmp_path, tensorflow, extras="dicom,itk"):
    """(exit code, calls of python) of the installing script."""
    [script] = [each for each in instructions() if each.startswith("RUN") and "case" in each]
    script = re.sub(r"--mount=\S+", "", script.removeprefix("RUN"))
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "clamnet_tf-0.1.0-py3-none-any.whl").touch()
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    (tmp_path / "python").write_text(STAND_IN.format(log=tmp_path / "log"), encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    for place in ("wheels", "setup.cfg", "provide-tensorflow"):
        script = re.sub(rf"(?<=[ (])/{re.escape(place)}", str(tmp_path / place), script)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("/tmp/*.whl", str(tmp_path / "none"))],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "TENSORFLOW": tensorflow, "EXTRAS": extras},
        capture_output=True,
        text=True,
    )
    log = tmp_path / "log"
    calls = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return done, [call.replace(str(tmp_path), "") for call in calls]


WHEEL = "-m pip install /wheels/clamnet_tf-0.1.0-py3-none-any.whl"


def test_the_image_for_a_cpu_takes_half_of_tensorflow(tmp_path, setup):
    done, calls = installed(tmp_path, "cpu")
    assert done.returncode == 0, done.stderr
    [line] = [
        each for each in setup["options.extras_require"]["train"].split() if each.startswith("tensorflow>")
    ]
    assert calls == [
        f"-m pip install {line.replace('tensorflow', 'tensorflow-cpu')}",
        "-m pip install /tmp/tensorflow-provided.whl",
        f"{WHEEL}[train,dicom,itk]",
        "-m pip check",
    ]


def test_the_other_images(tmp_path, setup):
    for name, extras in (("full", "train,dicom,itk"), ("cuda", "train,dicom,itk,cuda")):
        (tmp_path / name).mkdir()
        done, calls = installed(tmp_path / name, name)
        assert done.returncode == 0 and calls == [f"{WHEEL}[{extras}]", "-m pip check"]
        assert set(extras.split(",")) <= set(setup["options.extras_require"])
    (tmp_path / "wrong").mkdir()
    done, calls = installed(tmp_path / "wrong", "gpu")
    assert done.returncode == 1 and "TENSORFLOW=gpu: expected cpu, full or cuda" in done.stderr and not calls


def test_the_check_of_the_image_is_the_job_of_the_readme():
    lines = instructions()
    stage = lines[lines.index("FROM runtime AS check") : lines.index("FROM runtime AS final")]
    assert "clamnet-tf fit mri_carcinoma" in stage[1]
    assert "clamnet-tf fit recipes/mri_carcinoma.yaml" in (ROOT / "tools" / "quickstart").read_text()
    assert lines[-1] == "FROM runtime AS final", "what is built without --target"


def test_docker_is_given_what_the_image_is_built_from():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    given = {line[1:] for line in ignored if line.startswith("!")}
    assert {*BUILT_FROM, "tools/provide-tensorflow"} <= given and "*" in ignored
    assert all((ROOT / name).exists() for name in given)
    sources = re.findall(r"type=bind,source=([^,\s]+)", " ".join(instructions()))
    assert sources and set(sources) <= given


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(tmp_path):
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in [*BUILT_FROM, "CITATION.cff", "tools"]:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, clone / name)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([clone / "tools" / "test-wheel"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\nok: ") == 9, done.stdout


def test_no_extras_are_no_empty_name(tmp_path):
    done, calls = installed(tmp_path, "full", extras="")
    assert done.returncode == 0, done.stderr
    assert [call for call in calls if "clamnet_tf" in call] == [f"{WHEEL}[train]"]
