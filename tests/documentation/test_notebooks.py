"""The notebooks of docs/notebooks: run on a few small slices, stored with outputs, linked to files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed, see the extra [test]")
pytest.importorskip("nbclient", reason="nbclient is not installed, see the extra [test]")
pytest.importorskip("ipykernel", reason="ipykernel is not installed, see the extra [test]")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def run(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "notebooks", *arguments], capture_output=True, text=True
    )


@each_notebook
def test_it_runs(path):
    before = path.read_bytes()
    done = run("--tiny", path.stem)
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.read_bytes() == before, "--tiny stores nothing"


@pytest.mark.slow
@each_notebook
def test_its_outputs_can_be_made_again(path):
    before = path.read_bytes()
    try:
        done = run(path.stem)
        assert done.returncode == 0, done.stdout + done.stderr
        kinds = [
            [
                [output.output_type for output in cell.get("outputs", [])]
                for cell in nbformat.reads(text, 4).cells
            ]
            for text in (before.decode(), path.read_text(encoding="utf-8"))
        ]
        assert kinds[0] == kinds[1]
    finally:
        path.write_bytes(before)


@each_notebook
def test_it_is_stored_as_it_was_run(path):
    """Outputs are there, pictures among them, and no error, counter or path of a machine."""
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [
        output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"
    ]
    data = {kind for output in outputs for kind in output.get("data", {})}
    assert data & {"image/png", "image/svg+xml"}
    assert len(outputs) > 5 and len(text) < 400_000
    assert all(cell.get("execution_count") is None for cell in notebook.cells)
    assert str(ROOT) not in text and "/tmp/" not in text and "/root" not in text


@each_notebook
def test_its_links_lead_to_files(path):
    words = "\n".join(
        cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"
    )
    links = re.findall(r"\]\(([^)#\s]+)", words)
    assert links and all((path.parent / link).is_file() for link in links if ":" not in link)


def test_a_cell_that_fails_is_an_error(tmp_path):
    """With another folder of notebooks, since the real ones pass."""
    program = (ROOT / "tools" / "notebooks").read_text(encoding="utf-8")
    clone = tmp_path / "clone"
    (clone / "tools").mkdir(parents=True)
    (clone / "docs" / "notebooks").mkdir(parents=True)
    (clone / "tools" / "notebooks").write_text(program, encoding="utf-8")
    (clone / "tools" / "project_environment.py").touch()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%bash\nclamnet-tf-of-old fit")])
    nbformat.write(notebook, clone / "docs" / "notebooks" / "network-variants.ipynb")
    done = subprocess.run(
        [sys.executable, clone / "tools" / "notebooks", "--tiny", "network-variants"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "network-variants.ipynb failed" in done.stderr
