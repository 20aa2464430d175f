"""`clamnet-tf init` on pictures and NIfTI volumes: what it says, asks, refuses and writes."""

import csv
import itertools

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from clamnet_tf.cli.main import main
from clamnet_tf.errors import UserInputError
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe_suggestion.answers import LESIONS, MODALITIES, Answers, read_size
from clamnet_tf.recipe_suggestion.body_regions import REGIONS, modality_in_words, region_in_words
from clamnet_tf.recipe_suggestion.choices import CaseFacts, base_recipe, choose
from clamnet_tf.recipe_suggestion.image_survey import ImageSurvey
from clamnet_tf.recipe_suggestion.recipe_text import suggested_yaml


def run(*arguments, answers=None):
    return CliRunner().invoke(main, ["init", *(str(each) for each in arguments)], input=answers)


def picture(rng, side=128):
    rows, columns = np.mgrid[:side, :side]
    disk = np.hypot(rows - side / 2, columns - side / 2) < 0.4 * side
    return (rng.integers(0, 5, (side, side)) + 100 * disk).astype(np.uint8)


@pytest.fixture
def write_folders(tmp_path, rng):
    """A function that writes 12 pictures of 12 patients into normal/ and pneumonia/."""

    def write(side=128, mode="L"):
        root = tmp_path / "pictures"
        for number in range(12):
            folder = root / ("pneumonia" if number % 2 else "normal")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(rng, side)).convert(mode).save(folder / f"patient{number}.png")
        return root

    return write


def test_four_questions_are_asked_and_a_recipe_is_written(write_folders, tmp_path):
    out = tmp_path / "mine.yaml"
    result = run(write_folders(), "--out", out, answers="xray\nchest\nbrighter\n10-40\n")
    assert result.exit_code == 0, result.output
    recipe = load_recipe(str(out))
    assert (recipe.name, recipe.modality, recipe.condition) == ("mine", "xray", "pneumonia")
    assert (recipe.organ.method, recipe.organ.network) == ("network", "xray_lungs")
    assert recipe.data.normal_atlas.lesions == "brighter" and recipe.data.cohort is None
    # the mean of sizes that are log-uniform from 10 to 40 %: 30 / ln 4 = 21.6 %
    assert recipe.selection.prevalence == pytest.approx(0.22)
    for text in ("128 x 128", "12 x PNG pictures", "shades of 8 bits", "class_folders", "only 6 patients"):
        assert text in result.output
    assert result.output.count("?") == 4
    text = out.read_text(encoding="utf-8")
    assert "prevalence: 0.22 # mean size: 10 to 40 % of the lungs" in text
    assert "method: network # chest X-ray: the lungs, by a trained network" in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("#")) <= 120
    again = run(write_folders(), "--out", out, "--yes")
    assert again.exit_code == 2 and "exists already" in again.output


def test_options_answer_the_questions(write_folders, tmp_path):
    options = "--modality mri --region other --lesion darker --size 5 --condition cyst".split()
    result = run(write_folders(mode="RGB"), *options, "--out", tmp_path / "cysts.yaml")
    assert result.exit_code == 0, result.output
    assert "?" not in result.output
    recipe = load_recipe(str(tmp_path / "cysts.yaml"))
    assert recipe.condition == "cyst" and recipe.organ.method == "foreground"
    assert recipe.data.channels == [0], "gray stored as colour"
    assert recipe.pairs.augmentation.main_channel is None, "one channel has no other that fills its place"
    assert recipe.pairs.matching.on == "none" and recipe.inference.axial_smoothing == 0
    assert recipe.selection.prevalence == 0.05


def test_without_a_terminal_the_open_question_names_its_option(write_folders, tmp_path):
    result = run(write_folders(), "--modality", "ct", "--out", tmp_path / "mine.yaml", answers="")
    assert result.exit_code == 2
    assert "--region head|chest|abdomen|breast|bone|other" in result.output
    assert not (tmp_path / "mine.yaml").exists()


def test_small_patches(write_folders, tmp_path):
    out = tmp_path / "mine.yaml"
    result = run(write_folders(side=48), "--modality", "ct", "--yes", "--out", out)
    assert result.exit_code == 0, result.output
    recipe = load_recipe(str(out))
    assert recipe.organ.method == "none" and recipe.data.side == 48
    assert recipe.self_training.teacher == "attribution"


def test_a_shape_in_x_rays_is_left_to_classifiers(write_folders, tmp_path):
    out = tmp_path / "mine.yaml"
    options = "--modality xray --region bone --lesion shape --size 1-4 --yes".split()
    result = run(write_folders(side=260), *options, "--out", out)
    assert result.exit_code == 0, result.output
    recipe = load_recipe(str(out))
    assert (recipe.self_training.teacher, recipe.self_training.rounds) == ("attribution", 0)
    assert recipe.attribution.classifier.backbone == "efficientnet_lite0"
    assert recipe.data.side == 256 and recipe.attribution.smoothing == pytest.approx(6.3)
    assert recipe.organ.method == "none" and recipe.selection.threshold == 0.5


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_answer_gives_a_valid_recipe(modality):
    """`suggested_yaml` checks what it writes; sizes are extreme, so that every limit is met."""
    survey = ImageSurvey(4, 4, {"PNG pictures": 4}, sizes=((300, 256),), channels=(1,), eight_bits=True)
    sizes = itertools.cycle([(0.1, 0.1), (90.0, 90.0)])
    for region, lesion in itertools.product((*REGIONS, "patch"), LESIONS[1:]):
        answers = Answers(modality, region, lesion, next(sizes))
        facts = CaseFacts(slices_per_volume=1 if modality == "xray" else 20)
        base, _ = base_recipe(answers)
        text, kept = suggested_yaml(
            "mine", "any", modality, base, choose(survey, facts, answers, base), ["head"]
        )
        assert f"modality: {modality}\n" in text
        assert {"organ.method", "data.side", "selection.prevalence"} <= {choice.key for choice in kept}
        for choice in kept:
            assert choice.reason in text and f"{choice.key.split('.')[-1]}" in text


def write_volumes(folder, rng, low, patients=4):
    """NIfTI volumes of 6 slices; the values of half the pixels are near `low`, of the others near 40."""
    folder.mkdir()
    for number in range(patients):
        values = rng.normal(40, 20, (64, 64, 6))
        values[:20] = rng.normal(low, 20, (20, 64, 6))
        image = nibabel.Nifti1Image(values.astype(np.float32), np.diag([2.0, 2.0, 5.0, 1.0]))
        nibabel.save(image, folder / f"patient{number}.nii.gz")


def test_nifti_in_hounsfield_units_is_ct(tmp_path, rng):
    folder = tmp_path / "volumes"
    write_volumes(folder, rng, low=-990)
    rows = [f"patient{number}.nii.gz,{number % 2}" for number in range(4)]
    (folder / "labels.csv").write_text("\n".join(["image,label", *rows]))
    out = tmp_path / "mine.yaml"
    result = run(folder, "--region", "abdomen", "--yes", "--out", out)
    assert result.exit_code == 0, result.output
    assert "Modality: ct, since the values are Hounsfield units" in result.output
    recipe = load_recipe(str(out))
    assert recipe.modality == "ct" and recipe.data.window.width == 400
    assert recipe.organ.method == "body"
    assert recipe.pairs.matching.on == "position", "6 slices per volume"


def test_volumes_without_labels_say_what_is_needed_and_a_table_is_written(tmp_path, rng):
    folder, table = tmp_path / "volumes", tmp_path / "labels.csv"
    write_volumes(folder, rng, low=0)
    result = run(folder, "--out", tmp_path / "mine.yaml")
    assert result.exit_code == 2
    for text in (
        "4 x NIfTI volumes",
        "no table of their labels",
        "--write-labels labels.csv",
        "column `patient`",
    ):
        assert text in result.output
    assert run(folder, "--write-labels", table).exit_code == 0
    with open(table, encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["image"] for row in rows] == [f"patient{number}.nii.gz" for number in range(4)]
    assert run(folder, "--write-labels", table).exit_code == 2, "filled in labels are not overwritten"
    for number, row in enumerate(rows):
        row |= {"label": number % 2, "patient": f"p{number}"}
    with open(table, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    options = ["--labels", table, "--modality", "mri", "--region", "head", "--yes"]
    result = run(folder, *options, "--out", tmp_path / "mine.yaml")
    assert result.exit_code == 0, result.output
    assert f"--labels {table}" in result.output, "the next command repeats the options"
    assert load_recipe(str(tmp_path / "mine.yaml")).organ.method == "brain"


def test_a_mixed_folder_is_refused_with_what_is_in_it(write_folders, rng):
    root = write_folders()
    write_volumes(root / "normal" / "volumes", rng, low=0, patients=3)
    result = run(root, "--yes", "--modality", "mri")
    assert result.exit_code == 2
    for text in ("several kinds of images", "12 x PNG pictures", "3 x NIfTI volumes", "folder of its own"):
        assert text in result.output


def test_a_fault_of_a_manifest_is_not_taken_for_missing_labels(write_folders):
    root = write_folders()
    (root / "manifest.csv").write_text("image,patient,label\nnormal/patient0.png,p0,one\n")
    result = run(root)
    assert result.exit_code == 2
    assert "label: expected a whole number" in result.output and "--write-labels" not in result.output


def test_files_that_are_not_read_are_named(tmp_path, rng):
    for number in range(3):
        Image.fromarray(picture(rng)).save(tmp_path / f"{number}.webp")
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "3 files .webp are not read: the first is a WebP picture" in result.output


def test_a_mask_among_the_images_is_noticed(tmp_path, rng):
    for number, name in enumerate(("normal", "sick")):
        (tmp_path / name).mkdir()
        Image.fromarray(picture(rng)).save(tmp_path / name / f"patient{number}.png")
    Image.fromarray((picture(rng) > 50).astype(np.uint8) * 255).save(tmp_path / "sick" / "outline.png")
    result = run(tmp_path, *"--modality ct --region head --yes --out".split(), tmp_path / "mine.yaml")
    assert "outline.png holds two values only, as a mask does" in result.output


def test_a_wrong_answer_is_asked_for_again(write_folders, tmp_path):
    out = tmp_path / "mine.yaml"
    result = run(write_folders(), "--out", out, answers="x-ray\nxray\nchest\nbrighter\n40-10\nlarge\n10-40\n")
    assert result.exit_code == 0, result.output
    assert "size: expected percentages" in result.output and "received '40-10'" in result.output
    assert load_recipe(str(out)).selection.prevalence == pytest.approx(0.22)


@pytest.mark.parametrize(
    "text, expected", [("1-8", (1, 8)), ("0.5 - 3 %", (0.5, 3)), ("4", (4, 4)), ("2 to 5", (2, 5))]
)
def test_sizes(text, expected):
    assert read_size(text) == expected


@pytest.mark.parametrize("text", ["", "8-1", "0", "100", "small", "1-2-3", "-1"])
def test_wrong_sizes(text):
    with pytest.raises(UserInputError, match="size: expected percentages"):
        read_size(text)


def test_the_mean_size_is_that_of_log_uniform_sizes():
    drawn = np.exp(np.random.default_rng(0).uniform(np.log(0.01), np.log(0.08), 200_000))
    assert Answers("ct", "head", "brighter", (1, 8)).prevalence == pytest.approx(drawn.mean(), rel=0.02)


def test_words_of_folders_and_headers():
    assert region_in_words("Brain_MRI_2024") == "head" and modality_in_words("Brain_MRI_2024") == "mri"
    assert region_in_words("CT THORAX W/O CONTRAST") == "chest"
    assert modality_in_words("chest-x-ray") == "xray" and modality_in_words("kermany_xray") == "xray"
    assert region_in_words("head and chest") is None and modality_in_words("studies") is None


def test_a_table_without_a_label_column_names_the_columns_that_look_like_one(tmp_path, rng):
    for number in range(2):
        Image.fromarray(picture(rng)).save(tmp_path / f"{number}.png")
    (tmp_path / "scans.csv").write_text("image,age,bleeding\n0.png,60,0\n1.png,70,1\n")
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "if it is one of bleeding, call that column label" in result.output
