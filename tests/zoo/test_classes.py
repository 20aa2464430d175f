"""An entry of a network that tells two markers apart: each has its name, eta, cuts and figures, and what is
wrong about one of them is noticed.
"""

import hashlib
import json

import keras
import pytest
from click.testing import CliRunner

from clamnet_tf.cli.main import main
from clamnet_tf.errors import ZooError
from clamnet_tf.zoo.about import About
from clamnet_tf.zoo.golden import golden_input
from clamnet_tf.zoo.publish import Release, publish
from clamnet_tf.zoo.read import read_entry
from clamnet_tf.zoo.verify import verify

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 saving under NumPy 2
NAMES = ["intraparenchymal", "subdural"]


def problems(folder) -> dict:
    return {check.name: check.problem for check in verify(folder) if check.problem}


def change_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rewrite(folder, change):
    """entry.yaml, with `change` made to its plain values; no rule is asked."""
    data = read_entry(folder).model_dump(mode="json")
    change(data)
    from clamnet_tf.recipe.writer import yaml_text

    (folder / "entry.yaml").write_text(yaml_text(data), encoding="utf-8")


def test_an_entry_holds_the_cuts_and_figures_of_each_beside_those_of_all_together(
    small_markers_entry, small_markers_run
):
    entry, figures = (
        read_entry(small_markers_entry),
        json.loads((small_markers_run / "evaluation" / "metrics.json").read_text()),
    )
    assert entry.metrics.dice_volume.value == figures["dice_volume"]["mean"] and (
        entry.threshold.value,
        entry.threshold.raw_value,
        entry.eta,
    ) == (0.5, None, None)
    assert entry.output.classes == ["background", *NAMES] and [one.name for one in entry.markers] == NAMES
    assert [(one.eta, one.threshold.value, one.threshold.raw_value) for one in entry.markers] == [
        (0.9, 0.375, 0.25),
        (0.6, 0.5, 0.125),
    ]
    first, second = (one.metrics for one in entry.markers)
    assert (
        first.dice_volume.value,
        first.dice_volume.high,
        first.dice_volume_median,
        first.patients,
        first.patients_with_lesion,
    ) == (0.5, 0.75, 0.625, 8, 8)
    assert first.dice_with_lesion is None and (
        first.specificity_patient.value,
        first.normal_area_patient.high,
    ) == (0.75, 0.5)
    assert (first.dice_slice.value, first.outlined_slices) == (0.5, 11) and first.auroc_slice.low == figures[
        "intervals"
    ]["auroc_slice"]["low"]
    assert (
        second.dice_volume,
        second.dice_volume_median,
        second.dice_slice,
        second.pointing_game,
        second.outlined_slices,
    ) == (None, None, None, None, 0)
    assert (second.patients, second.patients_with_lesion) == (0, 0)
    assert read_entry(small_markers_entry) == entry and problems(small_markers_entry) == {}


def test_the_card_has_a_row_per_marker(small_markers_entry):
    card = (small_markers_entry / "README.md").read_text()
    assert (
        "| intraparenchymal | 0.50 (0.25 to 0.75), median 0.62, 8 patients | 0.50 (0.40 to 0.60), 11 slices |"
        in card
    )
    assert "| subdural | not measured | not measured |" in card and "| 75 (25 to 100) |" in card
    assert "intraparenchymal 0.375 (0.250), subdural 0.500 (0.125); as expected." in " ".join(card.split())
    assert "- Masks hold the number of the lesion class: 0 none, 1 intraparenchymal, 2 subdural." in card
    assert "All lesion classes together; a pixel counts as marked whatever its class:" in card


def test_lists_show_all_together_and_json_each(small_markers_entry, monkeypatch):
    monkeypatch.setenv("CLAMNET_TF_ZOO", str(small_markers_entry.parent))
    entry = read_entry(small_markers_entry)
    lines = CliRunner().invoke(main, ["zoo", "list"], prog_name="clamnet-tf").stdout.splitlines()
    assert any(
        line.startswith("ct_small ") and f" {entry.metrics.dice_volume.value:.2f} (" in line for line in lines
    )
    rows = {
        row["name"]: row
        for row in json.loads(
            CliRunner().invoke(main, ["zoo", "list", "--json"], prog_name="clamnet-tf").stdout
        )
    }
    assert [one["name"] for one in rows["ct_small"]["markers"]] == NAMES and rows["ct_small"]["markers"][0][
        "dice_volume"
    ]["value"] == 0.5
    assert rows["mri_carcinoma"]["markers"] is None


def test_swapped_classes_are_noticed_though_their_sum_is_the_same(small_markers):
    network = keras.saving.load_model(small_markers / "model.keras", compile=False)
    before = network(golden_input(16, 2))["head_2"].numpy()
    for head in ("head_1_logits", "head_2_logits"):
        kernel, bias = network.get_layer(head).get_weights()
        network.get_layer(head).set_weights([kernel[..., [0, 2, 1]], bias[[0, 2, 1]]])
    after = network(golden_input(16, 2))["head_2"].numpy()
    assert abs(before[..., 0] - after[..., 0]).max() < 1e-6 < 1e-3 < abs(before[..., 1] - after[..., 1]).max()
    network.save(small_markers / "model.keras")
    content = (small_markers / "model.keras").read_bytes()
    rewrite(
        small_markers,
        lambda data: data["weights"].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
    )
    found = problems(small_markers)
    assert (
        "the network gives other numbers for the golden input" in found["golden output"]
        and "shapes" not in found
    )


def test_a_golden_file_without_the_markers_or_with_a_nan_is_noticed(small_markers, small):
    assert "markers" not in json.loads((small / "golden.json").read_text())["marker_probability"]["head_1"]
    change_json(
        small_markers / "golden.json",
        lambda golden: golden["marker_probability"]["head_2"]["markers"][1].update(maximum=float("nan")),
    )
    assert "the number NaN" in problems(small_markers)["golden output"]
    change_json(
        small_markers / "golden.json", lambda golden: golden["marker_probability"]["head_2"].pop("markers")
    )
    assert "difference inf" in problems(small_markers)["golden output"]


def swap_names(data):
    """The names of the two markers, wherever entry.yaml has them."""
    for one, name in zip(data["markers"], reversed(NAMES)):
        one["name"] = name
    data["output"]["classes"][1:] = NAMES[::-1]


@pytest.mark.parametrize(
    ("change", "check", "message"),
    [
        (
            lambda data: data["markers"][1]["threshold"].update(value=0.25),
            "recipe",
            "markers.subdural.threshold.value: entry.yaml has 0.25, the recipe or selection 0.5",
        ),
        (
            lambda data: data["markers"][0]["threshold"].update(raw_value=0.5),
            "recipe",
            "markers.intraparenchymal.threshold.raw_value: entry.yaml has 0.5",
        ),
        (
            lambda data: data["markers"][0].update(eta=0.6),
            "recipe",
            "markers.intraparenchymal.eta: entry.yaml has 0.6, the recipe or selection 0.9",
        ),
        (
            lambda data: data["threshold"].update(value=0.4),
            "recipe",
            "threshold.value: entry.yaml has 0.4, the recipe or selection 0.5",
        ),
        (
            lambda data: data["threshold"].update(rule="by eye"),
            "recipe",
            "threshold.rule: entry.yaml has by eye, the recipe or selection as expected",
        ),
        (
            swap_names,
            "recipe",
            "markers: entry.yaml has subdural, intraparenchymal, the recipe or selection intraparenchymal, "
            "subdural",
        ),
        (
            lambda data: data["markers"][1].update(name="epidural"),
            "schema",
            "output.classes: expected the background, then the lesion classes in order: background, "
            "intraparenchymal, epidural",
        ),
        (
            lambda data: data["output"]["classes"].append("none"),
            "schema",
            "output.classes: expected the background, then the lesion classes",
        ),
        (
            lambda data: data["threshold"].update(raw_value=0.5),
            "schema",
            "threshold.raw_value: expected null, since every lesion class has its own",
        ),
        (
            lambda data: data.update(eta=0.5),
            "schema",
            "eta: expected null, since every lesion class has its own",
        ),
        (
            lambda data: data.update(kind="organ"),
            "schema",
            "kind: expected marker, since the entry has several lesion classes",
        ),
        (
            lambda data: data["output"].update(activation="sigmoid"),
            "schema",
            "output.activation: expected softmax, since the entry has several lesion classes",
        ),
        (
            lambda data: data["markers"][0]["metrics"]["dice_volume"].update(value=0.9),
            "schema",
            "markers[0].metrics.dice_volume: expected a value inside its interval",
        ),
        (
            lambda data: data["markers"][0]["metrics"].update(patients_with_lesion=7),
            "card",
            "do not say what entry.yaml says: Metrics",
        ),
        (
            lambda data: data.update(markers=None),
            "schema",
            "threshold.raw_value: expected a number; null where the entry has several lesion classes",
        ),
        (
            lambda data: (data.update(markers=None), data["threshold"].update(raw_value=0.5)),
            "recipe",
            "markers: entry.yaml has none, the recipe or selection intra",
        ),
    ],
    ids="cut,raw cut,eta,common cut,rule,swapped names,name,class,raw value,common "
    "eta,organ,sigmoid,interval,figure,no markers,one marker".split(","),
)
def test_a_declaration_that_is_not_so(small_markers, change, check, message):
    rewrite(small_markers, change)
    assert message in problems(small_markers)[check]


def test_an_entry_of_one_marker_has_no_list_of_them(small, small_markers):
    rewrite(
        small, lambda data: data.update(markers=read_entry(small_markers).model_dump(mode="json")["markers"])
    )
    assert (
        "threshold.raw_value: expected null" in problems(small)["schema"]
        and "output.classes: expected" in problems(small)["schema"]
    )


def swap_selection(run):
    change_json(
        run / "selection.json",
        lambda found: found["markings"].update(head_1=dict(reversed(found["markings"]["head_1"].items()))),
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda run: change_json(
                run / "selection.json",
                lambda found: found["markings"]["mean"]["subdural"].update(threshold=0.25),
            ),
            "has the metrics of other weights",
        ),
        (
            lambda run: change_json(
                run / "evaluation" / "metrics.json", lambda found: found.update(threshold_rule="as expected")
            ),
            "has the metrics of other weights",
        ),
        (
            lambda run: change_json(
                run / "evaluation" / "metrics.json", lambda found: found["markers"].pop("subdural")
            ),
            "expected metrics of each lesion class .*'subdural'",
        ),
        (
            swap_selection,
            "the lesion classes of head_1 are subdural, intraparenchymal, the recipe's intraparenchymal, "
            "subdural",
        ),
    ],
    ids=["other cut", "no cuts", "no figures of one", "other order"],
)
def test_a_run_that_cannot_be_published_is_refused(markers_run, tmp_path, spoil, message):
    spoil(markers_run)
    with pytest.raises(ZooError, match=message):
        publish(markers_run, tmp_path / "zoo" / "ct_mine", texts(), Release(1, None))


def test_classes_that_are_told_must_be_the_markers(markers_run, tmp_path):
    with pytest.raises(
        ZooError,
        match=r"output\.classes: expected .*background, intraparenchymal, subdural, received background, "
        r"subdural, intraparenchymal",
    ):
        publish(
            markers_run,
            tmp_path / "zoo" / "ct_mine",
            texts(classes=["background", "subdural", "intraparenchymal"]),
            Release(1, None),
        )


def texts(**more):
    return About(
        summary="Marks things.",
        channel_order=["a", "b"],
        training_data={"name": "my set", "origin": "A hospital.", "licence": "CC BY 4.0"},
        weights_licence="CC BY 4.0",
        intended_use="Research.",
        limits=["Not a medical device."],
        **more,
    )
