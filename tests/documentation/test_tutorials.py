"""The command blocks of the tutorials, run as they stand in a folder like a clone (`tutorial_folder`)."""

import csv
import html
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from tutorial_data import write_archive, write_brain_mri
from tutorial_folder import FEW_STEPS, ROOT, SMALL_NETWORKS, TUTORIALS, TutorialFolder, blocks

PAGES = sorted(path.name for path in TUTORIALS.glob("*.md") if path.name != "README.md")
WITHOUT_BLOCKS = ["report.md"]  # its headings and names are compared with a report
NOT_RUN = {  # beginning of the block: why; every other block of the pages is run
    "docker run ": "needs a Docker daemon and the image of TensorFlow Serving; the folder that it mounts is "
    "served by tests/serving/model_process.py instead",
}
PORT = "localhost:8501"


@pytest.fixture
def make_folder(tmp_path):
    """A function that makes the folder like a clone, with the settings of each `fit`."""
    return lambda settings: TutorialFolder(tmp_path, settings)


def run_blocks(folder, page, instead=lambda content: content):
    """Run every block of a page but those of NOT_RUN; return (what was printed, the blocks left out)."""
    printed, left_out = [], []
    for language, title, content in blocks(page):
        if title:
            (folder.path / title).write_text(content, encoding="utf-8")
        elif language == "sh" and content.startswith(tuple(NOT_RUN)):
            left_out.append(content)
        elif language == "sh":
            printed.append(folder.run(instead(content)))
        elif language == "python":
            printed.append(folder.run_python(instead(content)))
    return "".join(printed), left_out


def block_of(page, language):
    """The only block of this language."""
    (content,) = [content for one, _, content in blocks(page) if one == language]
    return content


def read_table(path):
    """The rows of a CSV file as dictionaries."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_block_says_its_language_and_is_run_or_listed():
    left_out = []
    for page in PAGES:
        for language, title, content in blocks(page):
            assert language in ("sh", "python", "yaml", "csv"), f"{page}: {language!r}\n{content}"
            assert language != "yaml" or title, f"{page}: the test does not know where this goes\n{content}"
            if language == "sh":
                left_out += [start for start in NOT_RUN if content.startswith(start)]
    assert left_out == list(NOT_RUN)
    assert [page for page in PAGES if not blocks(page)] == WITHOUT_BLOCKS


@pytest.mark.slow
def test_first_run(make_folder, tmp_path):
    run_blocks(make_folder(FEW_STEPS + SMALL_NETWORKS), "first-run.md")
    assert (tmp_path / "runs" / "quickstart" / "evaluation" / "report.html").is_file()
    assert (tmp_path / "runs" / "quickstart_head_2" / "report.html").is_file()
    assert "prevalence: 0.05" in (tmp_path / "runs" / "smaller" / "recipe.yaml").read_text()


@pytest.mark.slow
def test_labelled_folder_and_the_page_about_its_report(make_folder, tmp_path):
    printed, _ = run_blocks(make_folder(FEW_STEPS + SMALL_NETWORKS), "labelled-folder.md")
    assert "No problems found." in printed and "class_folders: lesion = 1" in printed
    suggested = yaml.safe_load((tmp_path / "suggested.yaml").read_text(encoding="utf-8"))
    assert suggested["modality"] == "xray"
    assert (tmp_path / "runs" / "mine_dry_run" / "contact_sheet.png").is_file()
    assert (tmp_path / "marked" / "report.html").is_file()
    assert len(list((tmp_path / "marked").rglob("*_mask.png"))) == 30
    assert (tmp_path / "evaluation" / "metrics.json").is_file()
    report = (tmp_path / "runs" / "mine" / "evaluation" / "report.html").read_text(encoding="utf-8")
    compare_with_the_page_about_reports(html.unescape(report))


def compare_with_the_page_about_reports(report):
    """Its sections are those of the report in their order, and the figures that it explains are there."""
    page = (TUTORIALS / "report.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.*)$", page, flags=re.MULTILINE)[1:]
    headings = re.findall(r"<h2>(.*?)</h2>", report)
    assert len(sections) == 6
    assert [heading for heading in headings if heading in sections] == sections
    names = re.findall(r"^- \*\*(.*?)\*\*", page, flags=re.MULTILINE)
    assert len(names) == 4
    for name in [*names, "Bound", "Reading"]:
        assert name in report, f"report.md names {name!r}, which the report does not have"


@pytest.mark.slow
def test_dicom_archive(make_folder, tmp_path):
    header, *rows = csv.reader(block_of("dicom-archive.md", "csv").splitlines())
    words = [next(row[2] for row in rows if (row[2] == "normal") == normal) for normal in (True, False)]
    source = write_archive(tmp_path, header, words)
    folder = make_folder(FEW_STEPS + SMALL_NETWORKS)
    printed, left_out = run_blocks(folder, "dicom-archive.md")
    assert not left_out and printed.count("No problems found.") == 2
    assert "labels per series and InstanceNumber" in printed and "PROBLEM" not in printed
    metrics = json.loads((tmp_path / "runs" / "archive" / "evaluation" / "metrics.json").read_text())
    assert metrics["dice_volume"]["mean"] is None
    assert 0 <= metrics["auroc_slice"] <= 1 and metrics["normal_area"] >= 0
    marked = [pydicom.dcmread(path) for path in (tmp_path / "marked").rglob("*_seg.dcm")]
    assert {str(one.ReferencedSeriesSequence[0].SeriesInstanceUID) for one in marked} == set(source)
    for segmentation in marked:
        images = source[str(segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID)]
        frames = segmentation.PerFrameFunctionalGroupsSequence
        assert len(frames) == segmentation.NumberOfFrames
        referenced = [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in frames]
        assert {str(image.ReferencedSOPInstanceUID) for image in referenced} <= images
    volumes = read_table(tmp_path / "marked" / "volumes.csv")
    assert len(volumes) == 2 and all(float(row["marked_ml"]) >= 0 for row in volumes)
    assert (tmp_path / "marked" / "report.html").is_file()


@pytest.mark.slow
def test_zoo_weights(make_folder, tmp_path):
    pictures = write_brain_mri(tmp_path)
    about = re.search(r"^```yaml\n(.*?)^```$", (ROOT / "zoo" / "README.md").read_text("utf-8"), re.S | re.M)
    (tmp_path / "about.yaml").write_text(about[1], encoding="utf-8")

    def with_slices(content):
        """The Python block, with the two arrays that it takes as given."""
        return content.replace(
            "detector.fit(",
            "import numpy\nslices, labels = numpy.random.rand(4, 128, 128, 3), numpy.array([0, 1, 0, 1])\n"
            "detector.fit(",
        )

    folder = make_folder(FEW_STEPS)  # its networks are those of the entry, so that the weights fit
    printed, left_out = run_blocks(folder, "zoo-weights.md", with_slices)
    assert not left_out
    assert len(list((tmp_path / "masks").rglob("*_mask.*"))) == len(pictures)
    assert json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["dice_volume"]["mean"] > 0
    origin = (tmp_path / "runs" / "mine" / "initialization.json").read_text(encoding="utf-8")
    assert "mri_carcinoma" in origin
    assert not (tmp_path / "runs" / "from_scratch" / "initialization.json").exists()
    assert re.search(r"^mine: Dice .*\nscratch: Dice .* first less this ", printed, re.M)
    assert (tmp_path / "zoo" / "mri_mine" / "model.keras").is_file()
    assert not (ROOT / "zoo" / "mri_mine").exists()


@pytest.fixture
def serve():
    """A function that serves a folder of models over REST until the test ends, and returns the port."""
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is in the extra [test]")
    processes = []

    def serve(models):
        command = [sys.executable, str(ROOT / "tests" / "serving" / "model_process.py"), str(models)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return json.loads(process.stdout.readline())["rest"]

    yield serve
    for process in processes:
        process.stdin.close()
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_serving(make_folder, serve, tmp_path):
    pictures = write_brain_mri(tmp_path)
    with Image.open(pictures[2]) as picture:
        picture.convert("RGB").save(tmp_path / "slice.png")
    folder, ports = make_folder(FEW_STEPS), []

    def at_the_port(content):
        """A block that asks the server, at the port of the process that stands in for it."""
        if PORT in content and not ports:
            ports.append(serve(tmp_path / "models"))
        return content.replace(PORT, f"127.0.0.1:{ports[0]}") if ports else content

    printed, (docker,) = run_blocks(folder, "serving.md", at_the_port)
    words = shlex.split(docker)
    mounted = words[words.index("-v") + 1]
    assert mounted == "$PWD/models:/models:ro" and "MODEL_NAME=mri_carcinoma" in words
    compose = yaml.safe_load((ROOT / "tools" / "serving" / "docker-compose.yml").read_text(encoding="utf-8"))
    assert words[-1] in [service["image"] for service in compose["services"].values()]
    assert (tmp_path / "models" / "mri_carcinoma" / "1" / "assets" / "contract.json").is_file()
    folder.run("clamnet-tf predict zoo/mri_carcinoma new_study/ --out masks_without_server/")
    asked, local = (read_table(tmp_path / name / "marks.csv") for name in ("masks", "masks_without_server"))
    assert len(asked) == len(local) == len(pictures)
    for one, other in zip(asked, local, strict=True):
        assert one["input"] == other["input"] and float(other["presence_score"]) > 0
        assert float(one["presence_score"]) == pytest.approx(float(other["presence_score"]), abs=1e-4)
        with (
            Image.open(tmp_path / "masks" / one["mask"]) as mask,
            Image.open(tmp_path / "masks_without_server" / other["mask"]) as own,
        ):
            np.testing.assert_array_equal(np.asarray(mask), np.asarray(own))
    (answer,) = json.loads(printed[printed.index('{"predictions"') :])["predictions"]
    assert np.shape(answer["probability"]) == np.shape(answer["mask"]) == (128, 128)


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_of_a_tutorial_exist(page):
    """Cheap, and run with the fast tests."""
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
