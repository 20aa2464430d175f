"""Labels in tables and folders (rows T1, T2 and T7): right, asked for, or foreseen by data inspect."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clamnet_tf.datasets.layouts.label_words import LabelWords, class_numbers, is_unknown
from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.errors import DataError

sys.path.insert(0, str(Path(__file__).parent))  # for the inputs that this folder shares
from clinic_inputs import HEADER, labelled, picture, run, text_of

# T1: which words mean normal


@pytest.mark.parametrize(
    "word",
    [
        "non-displaced fracture",
        "Non-Hodgkin lymphoma",
        "non small cell carcinoma",
        "non_specific finding",
        "nonunion",
        "no fracture seen",
        "without contrast",
        "negative for pneumonia",
        "covid-",
        "tumour free",
        "normal pressure hydrocephalus",
        "near normal",
        "clear lungs",
        "kein Befund",
        "NonCOVID",
        "not assessed fully",
    ],
)
def test_t1_words_that_do_not_say_are_asked_for_and_never_guessed(tmp_path, rng, word):
    root = labelled(tmp_path / "data", rng, ["normal", "fracture", word])
    with pytest.raises(DataError) as caught:
        recognize(root)
    text = str(caught.value)
    assert (
        f"{root / 'labels.csv'}: 1 label word(s) do not say whether they mean normal:\n  {word!r} (1 rows)"
        in text
    )
    assert f"--normal {word!r} or --abnormal {word!r}" in text
    assert [case.label for case in recognize(root, None, LabelWords(normal=(word.upper(),))).cases] == [
        0,
        1,
        0,
    ]
    assert [case.label > 0 for case in recognize(root, None, LabelWords(abnormal=(word,))).cases] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["covid", "non-covid"], [1, 0]),
        (["Lung Opacity", "no lung opacity"], [1, 0]),
        (["nodule", "without nodules"], [1, 0]),
        (["COVID+", "COVID-"], [1, 0]),
        (["No Finding", "Atelectasis", "Nodule"], [0, 1, 2]),
        (["healthy control", "tumour", "not normal"], [0, 2, 1]),
        (["glioma", "meningioma", "notumor"], [1, 2, 0]),
    ],
)
def test_t1_a_denial_of_another_class_of_the_table_is_normal(words, numbers):
    assert list(class_numbers(words).values()) == numbers


@pytest.mark.parametrize(
    "words",
    [
        ["Hodgkin lymphoma", "non-Hodgkin lymphoma"],  # a class, and yet a kind of it
        ["displaced", "non-displaced"],
        ["normal", "covid", "non-covid"],  # other infections, beside a class that is normal
        ["normal", "none", "fracture"],  # no finding, or nothing known?
    ],
)
def test_t1_a_denial_that_may_be_a_kind_of_disease_is_asked_for(words):
    with pytest.raises(DataError, match="do not say whether they mean normal"):
        class_numbers(words)


def test_t1_class_folders_ask_too_and_every_command_takes_the_answer(tmp_path, rng):
    root = tmp_path / "folders"
    for number in range(6):
        picture(root / "fracture" / f"patient{number}.png", rng)
        picture(root / "non-displaced fracture" / f"patient{number}b.png", rng)
    asked = run("data", "inspect", root)
    assert (
        asked.exit_code == 2
        and "'non-displaced fracture' (6 images)" in asked.output
        and "Traceback" not in asked.output
    )
    told = run("data", "inspect", root, "--normal", "non-displaced fracture")
    assert (
        told.exit_code == 0
        and "fracture = 1 (6 images), non-displaced fracture = 0 (6 images)" in told.output
    )
    for command in (
        ["fit", "mri_carcinoma", "--out", tmp_path / "run"],
        ["data", "prepare", "mri_carcinoma"],
    ):
        result = run(*command, "--data", root, "--normal", "fractur", "--cache", tmp_path / "cache")
        assert (
            result.exit_code == 2
            and "--normal 'fractur': no label is called so (did you mean 'fracture'?)" in result.output
        )
    twice = run("data", "inspect", root, "--normal", "fracture", "--abnormal", "Fracture")
    assert twice.exit_code == 2 and "'fracture' is given as normal and as abnormal" in twice.output
    assert all(
        "--normal" in run(*command, "--help").output
        for command in (["fit"], ["evaluate"], ["study"], ["data", "inspect"])
    )


def test_t1_numbers_may_be_told_as_words_and_manifests_need_none(tmp_path, rng):
    root = labelled(tmp_path / "data", rng, ["1", "2", "1"])
    assert [case.label for case in recognize(root, None, LabelWords(normal=("1",))).cases] == [0, 1, 0]
    manifest = (
        labelled(tmp_path / "own", rng, ["0", "1"])
        .joinpath("labels.csv")
        .rename(tmp_path / "own" / "manifest.csv")
    )
    with pytest.raises(DataError, match="the labels of a manifest are numbers. Leave them out"):
        recognize(manifest, None, LabelWords(normal=("0",)))


# T2: words for a label that is not known


@pytest.mark.parametrize(
    "word",
    [
        "n/a",
        "NaN",
        "nan",
        "unknown",
        "?",
        "UNK",
        "N.A.",
        "#N/A",
        "uncertain",
        "not available",
        "-",
        "pending",
    ],
)
def test_t2_unknown_words_are_empty_cells(tmp_path, rng, word):
    root = labelled(tmp_path / "data", rng, ["normal", word, "fracture", ""])
    manifest = recognize(root)
    assert [case.label for case in manifest.cases] == [0, None, 1, None]
    assert f"Labels that are not known, as in an empty cell: {word!r} 1 rows." in manifest.account
    assert [case.label for case in recognize(labelled(tmp_path / "n", rng, ["0", word, "2"])).cases] == [
        0,
        None,
        2,
    ]
    assert is_unknown(word) and not is_unknown("nodule") and not is_unknown("normal")


def test_t2_the_user_may_know_better_and_signs_are_no_gaps(tmp_path, rng):
    root = labelled(tmp_path / "data", rng, ["normal", "unknown", "fracture"])
    assert [case.label for case in recognize(root, None, LabelWords(abnormal=("unknown",))).cases] == [
        0,
        2,
        1,
    ]
    with pytest.raises(DataError, match=r"no label means normal: \+, -; say which one does with --normal"):
        recognize(labelled(tmp_path / "signs", rng, ["+", "-"]))
    nine = recognize(labelled(tmp_path / "nine", rng, ["0", "1", "9"]))
    assert any("the label 9 is taken as a finding of its own" in line for line in nine.account)


def test_t2_fit_and_inspect_name_the_unlabelled(tmp_path, rng):
    root = labelled(tmp_path / "data", rng, ["normal", "n/a", "fracture"])
    for command in (
        ["data", "inspect", root],
        ["fit", "mri_carcinoma", "--data", root, "--out", tmp_path / "run"],
    ):
        result = run(*command)
        assert (
            result.exit_code == 2
            and "a split needs labels, 1 image(s) have none" in result.output
            and "p1.png" in result.output
        )


# T7: data inspect foresees what fit refuses


CHEAP = [
    "data.side=32",
    "network.depth=2",
    "network.filters=[2,2]",
    "network.kernels=[3,3]",
    "organ.method=foreground",
]
SETS = [text for override in CHEAP for text in ("--set", override)]


def cohort(root, rng, *, normal, sick, name="{kind}{number}.png"):
    for kind, count in (("normal", normal), ("sick", sick)):
        for number in range(count):
            picture(root / kind / name.format(kind=kind, number=number), rng, spot=kind == "sick")
    return root


def sixty_to_three(root, rng):
    cohort(root, rng, normal=60, sick=0)
    for number in range(3):
        picture(root / "sick" / f"patient5_{number}.png", rng)


def blank_train(root, rng):
    cohort(root, rng, normal=6, sick=6)
    for path in (root / "sick").iterdir():
        Image.fromarray(np.zeros((48, 48), np.uint8)).save(path)


def two_sizes_in_a_volume(root, rng):
    cohort(root, rng, normal=6, sick=6)
    Image.fromarray(np.arange(40 * 48, dtype=np.uint8).reshape(40, 48)).save(root / "sick" / "sick0.png")
    lines = [
        [f"{kind}/{kind}{n}.png", f"{kind}{n // 2}", int(kind == "sick"), n]
        for kind in ("normal", "sick")
        for n in range(6)
    ]
    (root / "manifest.csv").write_text(text_of([[*HEADER, "position"], *lines]))


def no_test_side(root, rng):
    cohort(root, rng, normal=6, sick=6)
    lines = [
        [f"{kind}/{kind}{n}.png", f"{kind}{n}", int(kind == "sick"), "val" if n > 3 else "train"]
        for kind in ("normal", "sick")
        for n in range(6)
    ]
    (root / "manifest.csv").write_text(text_of([[*HEADER, "split"], *lines]))


REFUSED = {
    "one image in a class": (
        lambda root, rng: cohort(root, rng, normal=20, sick=1),
        "train and val each need normal and abnormal images",
    ),
    "one patient": (
        lambda root, rng: cohort(root, rng, normal=5, sick=5, name="patient1_{kind}{number}.png"),
        r"1 patient\(s\) cannot be split",
    ),
    "sixty to three of one patient": (
        sixty_to_three,
        "val has no abnormal image|train has no abnormal image",
    ),
    "three patients": (lambda root, rng: cohort(root, rng, normal=2, sick=1), "train and val each need"),
    "blank": (blank_train, "no abnormal training slices that show enough of the organ|same pixels"),
    "sizes": (two_sizes_in_a_volume, "slices of one series differ in size"),
    "no test": (no_test_side, "no patient is on the side test"),
}


@pytest.mark.parametrize("make, words", REFUSED.values(), ids=REFUSED.keys())
def test_t7_inspect_foresees_what_fit_refuses(tmp_path, rng, make, words):
    root = tmp_path / "data"
    make(root, rng)
    options = ["--cache", tmp_path / "cache", *SETS]
    looked, looked_closely = (
        run("data", "inspect", root),
        run("data", "inspect", root, "--recipe", "mri_carcinoma", *options),
    )
    fitted = run(
        "fit",
        "mri_carcinoma",
        "--data",
        root,
        "--out",
        tmp_path / "run",
        *options,
        "--set",
        "training.steps=1",
        "--set",
        "self_training.rounds=0",
    )
    codes = {looked.exit_code, looked_closely.exit_code, fitted.exit_code}
    assert codes == {2}, (looked.output, looked_closely.output, fitted.output)
    for result in (looked, looked_closely):
        assert re.search(f"PROBLEM: (.|\n)*({words})", result.output), result.output
    assert "No problems found" not in looked.output + looked_closely.output


def test_t7_with_a_recipe_its_own_settings_are_foreseen(tmp_path, rng):
    root = cohort(tmp_path / "data", rng, normal=8, sick=8)
    assert run("data", "inspect", root).exit_code == 0
    for override, words in (
        ("data.channels=[2]", "data.channels asks for channel 2"),
        ("data.minimum_organ_fraction=0.99", "no abnormal training slices that show enough"),
        ("organ.method=given", "the manifest has no organ mask"),
        ("training.patients=500", "expected at most the"),
    ):
        sets = [
            text
            for other in CHEAP
            if other.split("=")[0] != override.split("=")[0]
            for text in ("--set", other)
        ]
        options = ["--cache", tmp_path / "cache", *sets]
        looked = run("data", "inspect", root, "--recipe", "mri_carcinoma", *options, "--set", override)
        fitted = run(
            "fit", "mri_carcinoma", "--data", root, "--out", tmp_path / "run", *options, "--set", override
        )
        assert looked.exit_code == fitted.exit_code == 2, (override, looked.output, fitted.output)
        assert words in looked.output and words in fitted.output, (override, looked.output, fitted.output)
    good = run("data", "inspect", root, "--recipe", "mri_carcinoma", "--cache", tmp_path / "cache", *SETS)
    assert good.exit_code == 0 and "No problems found." in good.output, good.output


def test_t7_a_mask_that_does_not_fit_is_found_before_the_training_and_not_after(tmp_path, rng):
    root = cohort(tmp_path / "data", rng, normal=8, sick=8)
    for number in range(8):
        Image.fromarray(np.full((40, 48), 255, np.uint8)).save(root / "sick" / f"sick{number}_mask.png")
    options = ["--recipe", "mri_carcinoma", "--cache", tmp_path / "cache", *SETS]
    looked = run("data", "inspect", root, *options)
    assert looked.exit_code == 2, looked.output
    assert re.search(r"PROBLEM: .*_mask.png: mask of shape \(1, 40, 48\)", looked.output), looked.output
