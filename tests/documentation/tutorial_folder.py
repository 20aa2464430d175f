"""A folder like a clone of the repository, in which the command blocks of a tutorial are run as they stand.

Only the size of the work is changed: a `clamnet-tf` in front of the real one makes each training tiny.
"""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
FEW_STEPS = """
    training.batch_size=4 training.steps=3 training.evaluate_every=2 self_training.steps=2
""".split()
SMALL_NETWORKS = """
    data.side=32 organ.rim=0.0 network.depth=3 network.filters=[4,6,8] network.kernels=[3,3,3]
    self_training.network.depth=3 self_training.network.filters=[4,6,8]
    self_training.network.kernels=[3,3,3]
""".split()
SMALL_COHORT = "data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64".split()
SHIM = """#!/bin/bash
if [ "$1" = fit ]; then
  set -- "$@" {sets}
  case "$*" in *--data*) ;; *) set -- "$@" {cohort_sets} ;; esac
fi
exec {python} -m clamnet_tf "$@"
"""
QUICKSTART = "#!/bin/bash\nexec clamnet-tf fit recipes/mri_carcinoma.yaml --out runs/quickstart\n"


def blocks(page):
    """(language, title, content) of every code block of a tutorial, in order."""
    return re.findall(
        r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$',
        (TUTORIALS / page).read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )


class TutorialFolder:
    """A folder with what a clone has: `recipes`, `zoo`, `tools/quickstart`, and a `clamnet-tf` on the path.

    `settings` are the `--set` of every `fit`. What is written below `zoo` stays in this folder.
    """

    def __init__(self, path, settings):
        self.path = path
        (path / "recipes").symlink_to(ROOT / "recipes")
        (path / "zoo").mkdir()
        for entry in (ROOT / "zoo").iterdir():
            (path / "zoo" / entry.name).symlink_to(entry)
        sets, cohort_sets = (" ".join(f"--set {one}" for one in each) for each in (settings, SMALL_COHORT))
        shim = SHIM.format(sets=sets, cohort_sets=cohort_sets, python=sys.executable)
        self._write_program("bin/clamnet-tf", shim)
        (path / "bin" / "python").symlink_to(sys.executable)
        self._write_program("tools/quickstart", QUICKSTART)
        self._write_program(".venv/bin/activate", "")
        self.environment = {
            **os.environ,
            "PATH": f"{path / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.pathsep.join(path for path in sys.path if path)}",
            "CLAMNET_TF_CACHE": str(path / "cache"),
        }

    def _write_program(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, commands):
        """What a block prints, run by bash, which stops at the first command that fails."""
        return self._run(["bash", "-e", "-c", commands])

    def run_python(self, program):
        """What a Python program prints."""
        return self._run([sys.executable, "-c", program])

    def _run(self, command):
        done = subprocess.run(command, cwd=self.path, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout
