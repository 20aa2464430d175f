"""A run becomes an entry: figures are taken, texts are asked for, wrong runs are refused, nothing is left
half done.
"""

import json
import shutil

import numpy as np
import pytest
import yaml

from clamnet_tf.errors import RunError, ZooError
from clamnet_tf.inference.appearance import AppearanceModel
from clamnet_tf.zoo.about import read_about
from clamnet_tf.zoo.publish import Release, last_version, publish, publish_again
from clamnet_tf.zoo.read import read_entry
from clamnet_tf.zoo.verify import verify

TEXTS = {
    "summary": "Marks things.",
    "channel_order": ["T1", "FLAIR"],
    "training_data": {"name": "my set", "origin": "A hospital.", "licence": "CC BY 4.0"},
    "weights_licence": "CC BY 4.0",
    "intended_use": "Research.",
    "limits": ["Not a medical device."],
}


@pytest.fixture
def about(tmp_path):
    path = tmp_path / "about.yaml"
    path.write_text(yaml.safe_dump(TEXTS))
    return path


def texts(path=None, overrides=(), before=None):
    return read_about(path, overrides, before)


def test_an_entry_holds_the_runs_own_figures_and_the_given_texts(run, about, tmp_path):
    entry = publish(run, tmp_path / "zoo" / "mri_mine", texts(about), Release(1, None, "2026-01-02"))
    folder = tmp_path / "zoo" / "mri_mine"
    assert read_entry(folder) == entry and [check.problem for check in verify(folder)] == [None] * 7
    figures = json.loads((run / "evaluation" / "metrics.json").read_text())
    assert (
        entry.metrics.dice_volume.value == figures["dice_volume"]["mean"]
        and entry.metrics.normal_area.high == figures["intervals"]["normal_area"]["high"]
    )
    assert (entry.metrics.data, entry.metrics.split, entry.metrics.seed, entry.eta) == (
        "kaggle_3m",
        "test",
        0,
        0.7,
    )
    assert (folder / "model.keras").read_bytes() == (run / "model.keras").read_bytes()
    assert entry.changelog[0].model_dump() == {
        "version": 1,
        "date": "2026-01-02",
        "changes": "First version.",
    }
    card = (folder / "README.md").read_text()
    assert (
        "Licence of the weights: CC BY 4.0" in card
        and "- Not a medical device." in card
        and "{mean:.2f} ({low:.2f} to {high:.2f})".format(**figures["dice_volume"]) in card
    )
    assert sorted(path.name for path in folder.parent.iterdir()) == ["mri_mine"]


def test_an_entry_says_who_has_a_lesion_what_simple_methods_reach_and_keeps_the_fitted_ones(
    run, about, tmp_path
):
    folder = tmp_path / "zoo" / "mri_mine"
    metrics = publish(run, folder, texts(about), Release(1, None)).metrics
    assert (metrics.patients, metrics.patients_with_lesion, metrics.patients_without_lesion) == (16, 12, 4)
    assert [(one.name, one.dice.value, one.difference.low) for one in metrics.simple_methods] == [
        ("otsu_channel1_bright", 0.25, 0.25),
        ("whole_organ", 0.09, 0.53),
    ]
    card = (folder / "README.md").read_text()
    for line in (
        "| Dice per patient with a lesion (12 patients) | 0.75 (",
        "| Best simple method, picked with the masks: Otsu threshold on bright pixels of channel 1 | "
        "0.25 (0.12 to 0.50); network minus this method +0.50 (+0.25 to +0.62) |",
        "| The whole organ marked | 0.09 (0.05 to 0.12); network minus this method +0.66 (+0.53 to +0.77) |",
        "| Patients without a lesion left unmarked (4 patients), % | 75 (25 to 100) |",
        "| Marked area of patients without a lesion, % of the organ | 12.50 (0.00 to 50.00) |",
    ):
        assert line in card, line
    assert (
        "12 of the patients have a lesion and are fully outlined, 4 have none" in " ".join(card.split())
        and "before November 2026" not in card
    )
    assert (folder / "intensity_baselines.json").read_bytes() == (
        run / "intensity_baselines.json"
    ).read_bytes()
    (run / "intensity_baselines.json").unlink()  # nothing of the version before stays
    publish(run, folder, texts(about), Release(2, "Without."))
    assert not (folder / "intensity_baselines.json").exists()


def test_what_training_images_look_like_is_published_and_checked(run, about, tmp_path):
    def write(channels):
        images = [np.random.default_rng(index).random((1, 32, 32, channels)) for index in range(12)]
        AppearanceModel.fit(images, [str(index) for index in range(12)]).save(run / "appearance.npz")

    folder = tmp_path / "zoo" / "mri_mine"
    write(2)
    publish(run, folder, texts(about), Release(1, None))
    assert (folder / "appearance.npz").read_bytes() == (run / "appearance.npz").read_bytes()
    write(3)
    with pytest.raises(ZooError, match=r"appearance\.npz: expected images of 2 channel\(s\); received 3"):
        publish(run, folder, texts(about), Release(2, "Other images."))
    (run / "appearance.npz").unlink()
    publish(run, folder, texts(about), Release(2, "Without."))
    assert not (folder / "appearance.npz").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kept: kept["whole_organ"].update(function="system"), "'system'"),
        (lambda kept: kept["threshold_channel1_sigma2_bright"]["keywords"].update(channel=2), "channel is 2"),
        (
            lambda kept: kept["threshold_channel1_sigma2_bright"]["keywords"].update(cut="high"),
            "cut is 'high'",
        ),
        (
            lambda kept: kept["threshold_channel1_sigma2_bright"]["keywords"].pop("cut"),
            "has the keywords channel, sigma, bright",
        ),
    ],
    ids=["function", "channel", "value", "keyword"],
)
def test_kept_methods_that_are_wrong_are_not_published(run, about, tmp_path, change, message):
    change_json(run / "intensity_baselines.json", change)
    with pytest.raises(
        ZooError, match=rf"intensity_baselines\.json: expected simple methods for 2 channel\(s\).*{message}"
    ):
        publish(run, tmp_path / "zoo" / "mri_mine", texts(about), Release(1, None))
    assert not list((tmp_path / "zoo").iterdir())


def test_where_no_patient_is_outlined_whole_the_outlined_slices_are_the_headline(run, about, tmp_path):
    change_json(
        run / "evaluation" / "metrics.json",
        lambda found: [
            found["dice_volume"].update(mean=None, patients=0),
            found.update(patients=24, patients_with_lesion=0),
        ],
    )
    entry = publish(run, tmp_path / "zoo" / "mri_mine", texts(about), Release(1, None, "2026-01-02"))
    metrics = read_entry(tmp_path / "zoo" / "mri_mine").metrics
    assert (
        metrics == entry.metrics
        and metrics.dice_volume is None
        and metrics.headline.value == 0.5
        and (metrics.outlined_slices, metrics.patients) == (11, 24)
    )
    assert [(one.name, one.dice.value) for one in metrics.simple_methods] == [
        ("otsu_channel1_bright", 0.25),
        ("whole_organ", 0.09),
    ]
    card = (tmp_path / "zoo" / "mri_mine" / "README.md").read_text()
    assert (
        "| Dice per outlined slice (11 slices; no patient is fully outlined) | 0.50 (0.40 to 0.60) |" in card
    )
    assert "; no patient is fully outlined, 4 have no lesion) of" in " ".join(card.split())


def test_figures_that_count_lesions_and_patients_are_on_the_card(run, about, tmp_path):
    def interval(mean):
        return {"mean": mean, "low": mean and mean / 2, "high": mean and 1.0}

    change_json(
        run / "evaluation" / "metrics.json",
        lambda found: found.update(
            lesions={"lesions": 31, "recall": interval(0.75), "f1": interval(0.5)},
            froc={"cpm": interval(0.25)},
            detection={"patients": {"auroc": interval(None)}},
        ),
    )
    publish(run, tmp_path / "zoo" / "mri_mine", texts(about), Release(1, None, "2026-01-02"))
    metrics = read_entry(tmp_path / "zoo" / "mri_mine").metrics
    assert (metrics.lesions, metrics.lesion_recall.value, metrics.lesion_cpm.low) == (31, 0.75, 0.125)
    assert metrics.auroc_patient is None
    card = (tmp_path / "zoo" / "mri_mine" / "README.md").read_text()
    assert "| Lesions found (31 lesions), % | 75 (38 to 100) |" in card
    assert "0.50 (0.25 to 1.00) |" in card and "(CPM), % | 25 (12 to 100) |" in card
    assert "AUROC of patients" not in card


def test_texts_come_from_options_then_the_file_then_the_last_version(run, about, tmp_path):
    target = tmp_path / "zoo" / "mri_mine"
    first = publish(run, target, texts(about), Release(1, None))
    (target / "picture.png").write_bytes(b"png")
    mixed = texts(None, ["summary=Marks other things.", "training_data.licence=CC0"], last_version(target))
    second = publish(run, target, mixed, Release(2, "Other words."))
    assert (second.summary, second.training_data.licence) == ("Marks other things.", "CC0")
    assert (second.training_data.origin, second.limits) == (first.training_data.origin, first.limits)
    assert [change.version for change in second.changelog] == [2, 1] and "- 2 (" in (
        target / "README.md"
    ).read_text()
    assert (target / "picture.png").exists() and [check.problem for check in verify(target)] == [None] * 7


def test_missing_texts_are_named_all_at_once(about):
    with pytest.raises(ZooError) as caught:
        texts(None, ["training_data.origin=A hospital."])
    for key in (
        "summary",
        "channel_order",
        "training_data.name",
        "training_data.licence",
        "weights_licence",
        "intended_use",
        "limits",
    ):
        assert f"{key}: expected " in str(caught.value)
    assert "training_data.origin: expected" not in str(caught.value)
    content = {**TEXTS, "limit": TEXTS["limits"]}
    del content["limits"]
    about.write_text(yaml.safe_dump(content))
    with pytest.raises(ZooError, match=r"about\.yaml:\d+: limit: expected a key .*nearest valid key limits"):
        texts(about)


@pytest.mark.parametrize("key", ["training_data.licence", "weights_licence", "training_data.origin"])
def test_no_entry_without_licences_and_origin(about, key):
    content = json.loads(json.dumps(TEXTS))
    section = content
    *path, last = key.split(".")
    for part in path:
        section = section[part]
    for value in ("", None):
        section[last] = value
        about.write_text(yaml.safe_dump(content))
        with pytest.raises(ZooError, match=rf"{key}: expected text of 1 to 6000 characters"):
            texts(about)


def change_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "FINISHED").unlink(), "expected a finished run; FINISHED is missing"),
        (
            lambda run: (run / "evaluation" / "metrics.json").unlink(),
            r"metrics\.json: missing\. An entry needs measured metrics",
        ),
        (
            lambda run: change_json(
                run / "evaluation" / "metrics.json", lambda found: found.pop("definitions")
            ),
            "whose Dice counts patients without a lesion. Evaluate this run again",
        ),
        (
            lambda run: (run / "evaluation" / "metrics.json").write_text("[1]"),
            r"expected metrics\.json of clamnet-tf evaluate; received another file",
        ),
        (
            lambda run: change_json(
                run / "evaluation" / "metrics.json",
                lambda found: [found[name].update(mean=None) for name in ("dice_volume", "dice_slice")],
            ),
            "had no masks",
        ),
        (
            lambda run: change_json(
                run / "evaluation" / "metrics.json",
                lambda found: found["heads"]["head_2"].update(threshold=0.5),
            ),
            "has the metrics of other weights",
        ),
        (
            lambda run: change_json(
                run / "evaluation" / "metrics.json", lambda found: found.update(threshold=0.5)
            ),
            "has the metrics of other weights",
        ),
        (
            lambda run: change_json(
                run / "evaluation" / "metrics.json", lambda found: found["data"].update(split="train")
            ),
            "received those of the training side",
        ),
        (
            lambda run: change_json(
                run / "evaluation" / "metrics.json", lambda found: found["data"].update(split=None)
            ),
            "all cases, including those it was trained on",
        ),
        (lambda run: (run / "model.keras").write_bytes(bytes(10_000_001)), "expected at most 10000000 bytes"),
        (
            lambda run: change_json(run / "environment.json", lambda found: found["packages"].pop("keras")),
            "expected the versions of clamnet-tf, TensorFlow and Keras",
        ),
        (lambda run: (run / "selection.json").unlink(), r"selection\.json is missing"),
    ],
    ids=[
        "unfinished",
        "no figures",
        "earlier figures",
        "no figure file",
        "no masks",
        "other head",
        "other cut",
        "training side",
        "all cases",
        "large",
        "no versions",
        "no selection",
    ],
)
def test_a_run_that_cannot_be_published_is_refused_and_leaves_nothing(run, about, tmp_path, spoil, message):
    spoil(run)
    with pytest.raises((ZooError, RunError), match=message):
        publish(run, tmp_path / "zoo" / "mri_mine", texts(about), Release(1, None))
    assert not (tmp_path / "zoo").exists() or not list((tmp_path / "zoo").iterdir())


def test_a_version_must_be_raised_and_its_changes_said(run, about, tmp_path):
    target = tmp_path / "zoo" / "mri_mine"
    publish(run, target, texts(about), Release(1, None))
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with pytest.raises(
        ZooError, match=r"has version 1 already; expected a higher one, received 1\. Add --version 2\."
    ):
        publish(run, target, texts(about), Release(1, "Again."))
    with pytest.raises(ZooError, match="expected a line for the changelog"):
        publish(run, target, texts(about), Release(2, None))
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    with pytest.raises(
        ZooError, match=r"name: expected a name that begins with the modality, mri_, received ct_mine"
    ):
        publish(run, tmp_path / "zoo" / "ct_mine", texts(about), Release(1, None))
    other = tmp_path / "zoo" / "mri_files"
    shutil.copytree(run, other)
    with pytest.raises(ZooError, match="received a folder with other files"):
        last_version(other)


def test_an_entry_takes_figures_that_were_measured_again(run, about, tmp_path):
    target, figures = tmp_path / "zoo" / "mri_mine", tmp_path / "out" / "metrics.json"
    before = publish(run, target, texts(about), Release(1, None))
    (target / "intensity_baselines.json").unlink()
    shutil.copytree(run / "evaluation", figures.parent)
    shutil.copyfile(run / "intensity_baselines.json", figures.parent / "intensity_baselines.json")
    change_json(
        figures,
        lambda found: (
            found["dice_volume"].update(mean=0.7, patients=10),
            found.update(patients_with_lesion=10, patients_without_lesion=6),
        ),
    )
    after = publish_again(
        target,
        target,
        texts(None, before=last_version(target)),
        Release(2, "Measured again."),
        figures_file=figures,
    )
    assert (
        after.metrics.dice_volume.value,
        after.metrics.patients_with_lesion,
        after.metrics.patients_without_lesion,
    ) == (0.7, 10, 6)
    assert (
        after.weights == before.weights
        and after.made_with == before.made_with
        and [change.version for change in after.changelog] == [2, 1]
    )
    assert (
        read_entry(target) == after
        and "0.70 (" in (target / "README.md").read_text()
        and (target / "intensity_baselines.json").exists()
    )
    for spoil, message in [
        (lambda found: found.update(threshold=0.5), "has the metrics of other weights"),
        (lambda found: found.pop("definitions"), "Evaluate this run again"),
    ]:
        shutil.copyfile(run / "evaluation" / "metrics.json", figures)
        change_json(figures, spoil)
        with pytest.raises(ZooError, match=message):
            publish_again(
                target, target, texts(None, before=after), Release(3, "Again."), figures_file=figures
            )
    with pytest.raises(ZooError, match="Give its metrics.json with --figures"):
        publish_again(target, target, texts(None, before=after), Release(3, "Again."), figures_file=None)
    assert read_entry(target) == after


def test_a_warning_of_the_run_is_the_first_sentence_of_the_card(run, about, tmp_path):
    said = [
        "WARNING: this run is not shown to have learned anything:\u00a0slice AUROC 0.52.",
        "It marks 2 %.",
    ]
    (run / "learning.json").write_text(json.dumps({"verdict": "not learned", "sentences": said}))
    folder = tmp_path / "zoo" / "mri_mine"
    entry = publish(run, folder, texts(about), Release(1, None))
    assert entry.learning == [said[0].replace("\u00a0", " "), said[1]]
    card = (folder / "README.md").read_text()
    assert card.startswith("---\n") and "- It marks 2 %." in card
    assert f"\n---\n\n# mri_mine\n\n**{entry.learning[0]}**\n" in card
    assert read_entry(folder) == entry and not any(check.problem for check in verify(folder))
    (run / "learning.json").write_text(
        json.dumps({"verdict": "learned", "sentences": ["It tells them apart."]})
    )
    publish(run, folder, texts(about), Release(2, "Again."))
    card = (folder / "README.md").read_text()
    assert "\n---\n\n# mri_mine\n\nMarks things." in card and "- It tells them apart." in card
