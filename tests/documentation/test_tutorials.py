"""The command blocks of the first two tutorials, run as they stand in a folder like a clone.

Only the size of the work is changed: a `clamnet-tf` in front of the real one makes each training tiny.
"""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
TINY = """
    data.side=32 organ.rim=0.0 network.depth=3 network.filters=[4,6,8] network.kernels=[3,3,3]
    training.batch_size=4 training.steps=3 training.evaluate_every=2 self_training.steps=2
    self_training.network.depth=3 self_training.network.filters=[4,6,8]
    self_training.network.kernels=[3,3,3]
""".split()
TINY_COHORT = "data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64".split()
SHIM = """#!/bin/bash
if [ "$1" = fit ]; then
  set -- "$@" {sets}
  case "$*" in *--data*) ;; *) set -- "$@" {cohort_sets} ;; esac
fi
exec {python} -m clamnet_tf "$@"
"""
QUICKSTART = "#!/bin/bash\nexec clamnet-tf fit recipes/mri_carcinoma.yaml --out runs/quickstart\n"


def blocks(page):
    """(language, title, content) of every code block, in order."""
    return re.findall(
        r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$',
        (TUTORIALS / page).read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def run(tmp_path):
    """A function that runs a block with bash in a folder with what a clone has."""
    for name in ("recipes", "zoo"):
        (tmp_path / name).symlink_to(ROOT / name)
    sets, cohort_sets = (" ".join(f"--set {one}" for one in each) for each in (TINY, TINY_COHORT))
    shim = SHIM.format(sets=sets, cohort_sets=cohort_sets, python=sys.executable)
    write_program(tmp_path / "bin" / "clamnet-tf", shim)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    write_program(tmp_path / "tools" / "quickstart", QUICKSTART)
    write_program(tmp_path / ".venv" / "bin" / "activate", "")
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.pathsep.join(path for path in sys.path if path)}",
        "CLAMNET_TF_CACHE": str(tmp_path / "cache"),
    }

    def run(commands):
        done = subprocess.run(
            ["bash", "-e", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    return run


@pytest.mark.slow
@pytest.mark.parametrize("page", ["first-run.md", "labelled-folder.md"])
def test_the_commands_of_a_tutorial_run(page, run, tmp_path):
    said = []
    for language, title, content in blocks(page):
        if title:
            (tmp_path / title).write_text(content, encoding="utf-8")
        elif language == "sh":
            said.append(run(content))
    assert len(said) > 3
    said = "".join(said)
    if page == "first-run.md":
        assert (tmp_path / "runs" / "quickstart" / "evaluation" / "report.html").is_file()
        assert (tmp_path / "runs" / "quickstart_head_2" / "report.html").is_file()
        assert "prevalence: 0.05" in (tmp_path / "runs" / "smaller" / "recipe.yaml").read_text()
    else:
        assert "No problems found." in said and "class_folders: lesion = 1" in said
        assert (tmp_path / "marked" / "report.html").is_file()
        assert len(list((tmp_path / "marked").rglob("*_mask.png"))) == 30
        assert (tmp_path / "evaluation" / "metrics.json").is_file()


@pytest.mark.parametrize(
    "page", sorted(path.name for path in TUTORIALS.glob("*.md") if path.name != "README.md")
)
def test_commands_and_options_of_a_tutorial_exist(page):
    """Cheap, for the pages whose data are not at hand."""
    from clamnet_tf.cli.main import COMMANDS, load

    for _, _, content in blocks(page):
        for line in re.findall(r"^clamnet-tf (.*)$", content, flags=re.MULTILINE):
            words = line.split(" #")[0].split()
            if words == ["--help"]:
                continue
            assert words[0] in COMMANDS, line
            command = load(words[0])
            if hasattr(command, "commands"):
                command = command.commands[words[1]]
            known = {name for one in command.params for name in one.opts}
            assert {word for word in words if word.startswith("--")} <= known, line
            for recipe in re.findall(r"^(?:mri|ct|xray)_\w+$", "\n".join(words), flags=re.MULTILINE):
                assert (ROOT / "recipes" / f"{recipe}.yaml").is_file(), line
