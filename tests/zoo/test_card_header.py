"""The YAML header of cards, read by huggingface_hub: licence, tags and metrics are those of entry.yaml."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from clamnet_tf.cli.main import main
from clamnet_tf.errors import ZooError
from clamnet_tf.zoo.card import card, card_text
from clamnet_tf.zoo.card_header import licence_keys, split_header, with_header, wrong_keys
from clamnet_tf.zoo.read import read_entry

hub = pytest.importorskip("huggingface_hub", reason="the extra [hub] is not installed")
ENTRIES = sorted(path.parent for path in (Path(__file__).resolve().parents[2] / "zoo").glob("*/entry.yaml"))
LICENCES = {
    "ct_nodule": ("other", "the-weights-may-be-used-as-the-data-allow"),
    "xray_carcinoma": ("other", "for-research-only"),
    "ct_carcinoma": ("apache-2.0", None),
    "ct_haemorrhage": ("apache-2.0", None),
    "ct_trauma": ("cc-by-4.0", None),
    "xray_pneumonia": ("cc-by-4.0", None),
    "xray_trauma": ("cc-by-4.0", None),
    "ct_pneumonia": ("cc-by-nc-sa-4.0", None),
    "mri_carcinoma": ("cc-by-nc-sa-4.0", None),
    "xray_lungs": ("cc-by-nc-sa-4.0", None),
}


@pytest.mark.parametrize("folder", ENTRIES, ids=lambda path: path.name)
def test_the_hubs_own_library_reads_licence_tags_and_metrics(folder):
    entry = read_entry(folder)
    text = card(entry)
    data = hub.ModelCard(text).data
    assert (data.license, data.license_name) == LICENCES[entry.name]
    assert (data.library_name, data.pipeline_tag) == ("clamnet-tf", "image-segmentation")
    assert {"keras", entry.modality, entry.condition.replace(" ", "-")} <= set(data.tags)
    assert data.model_name == entry.name and all(isinstance(row, hub.EvalResult) for row in data.eval_results)
    dice = entry.metrics.dice_volume or entry.metrics.dice_slice
    first = data.eval_results[0]
    assert (first.task_type, first.metric_type) == ("image-segmentation", "dice")
    assert first.metric_value == pytest.approx(dice.value, abs=5e-5)
    assert f"({dice.low:.2f} to {dice.high:.2f})" in first.metric_name
    assert first.dataset_split == entry.metrics.split and f"{entry.metrics.patients} " in first.dataset_name
    assert ("simulated" in first.dataset_type) == entry.metrics.simulated
    assert set(data.metrics) == {row.metric_type for row in data.eval_results}
    for section in entry.markers or ():
        (row,) = (
            row
            for row in data.eval_results
            if row.metric_name.startswith(f"Dice per patient, {section.name},")
        )
        assert row.metric_value == pytest.approx(section.metrics.dice_volume.value, abs=5e-5)
    if entry.metrics.normal_area:
        (row,) = (row for row in data.eval_results if row.metric_type == "marked_area")
        assert row.metric_value == pytest.approx(100 * entry.metrics.normal_area.value, abs=5e-5)
        assert "% of the organ" in row.metric_name
    assert hub.ModelCard(text).text.lstrip("\n") == card_text(entry)


@pytest.mark.parametrize("folder", ENTRIES, ids=lambda path: path.name)
def test_the_shipped_card_has_the_header_of_its_entry(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert split_header(text)[0] and wrong_keys(text, read_entry(folder)) == []


@pytest.mark.parametrize(
    ("licence", "keys"),
    [
        ("CC BY 4.0", ("cc-by-4.0", None)),
        ("CC BY-NC-SA 4.0, as the data they were learned from", ("cc-by-nc-sa-4.0", None)),
        ("CC BY-NC-ND 4.0; nothing may be made from them", ("cc-by-nc-nd-4.0", None)),
        ("Apache-2.0 (as the software)", ("apache-2.0", None)),
        ("MIT licence. Have fun.", ("mit", None)),
        ("CC0", ("cc0-1.0", None)),
        ("Apache-2.0 with the Commons Clause", ("other", "apache-2.0-with-the-commons-clause")),
        ("CC BY 4.0 for research", ("other", "cc-by-4.0-for-research")),
        ("CC BY-NC 1.0", ("other", "cc-by-nc-1.0")),
        ("MITRE's terms", ("other", "mitre-s-terms")),
        ("Nur für die Forschung, nicht kommerziell", ("other", "nur-f-r-die-forschung")),
        ("仅供研究", ("other", "as-the-card-says")),
    ],
)
def test_only_a_licence_that_the_hub_knows_gets_its_identifier(licence, keys):
    found = licence_keys(licence)
    assert (found["license"], found.get("license_name")) == keys
    assert set(found) <= {"license", "license_name"}


def test_the_text_below_the_header_stays_and_so_do_keys_added_by_hand():
    entry = read_entry(ENTRIES[0])
    text = f"{card_text(entry)}\nA picture that somebody added: ---\n---\n"
    headed = with_header(text, entry)
    assert headed.endswith(f"---\n\n{text}") and with_header(headed, entry) == headed
    assert split_header(headed)[1] == f"\n{text}"
    own = headed.replace("---\n", "---\nlanguage: en\nlicense_name: an-older-one\n", 1)
    again = with_header(own, entry)
    assert hub.ModelCard(again).data.language == "en" and "an-older-one" not in again
    assert again.endswith(f"---\n\n{text}") and wrong_keys(again, entry) == []


def test_a_header_that_says_other_than_the_entry_is_wrong():
    entry = read_entry(ENTRIES[0])
    text = card(entry)
    assert wrong_keys(text, entry) == [] and wrong_keys(card_text(entry), entry) == []
    assert wrong_keys(text.replace("license: apache-2.0", "license: mit"), entry) == ["license"]
    dice = entry.metrics.dice_volume.model_copy(update={"value": 0.5, "low": 0.4, "high": 0.6})
    other = entry.metrics.model_copy(update={"dice_volume": dice})
    assert wrong_keys(text, entry.model_copy(update={"metrics": other})) == ["model-index"]
    for broken in ("---\n- a list\n---\n# x\n", "---\nkey: [1\n---\n# x\n", "---\nlicense: mit\n# no end\n"):
        with pytest.raises(ZooError, match="header that cannot be read"):
            wrong_keys(broken, entry)


def test_the_command_writes_the_header_of_an_entry_without_one(copy):
    folder = copy()
    path, entry = folder / "README.md", read_entry(folder)
    path.write_bytes(card_text(entry).encode().replace(b"\n", b"\r\n"))
    before = path.read_bytes()
    call = lambda: CliRunner().invoke(main, ["zoo", "card", str(folder)], prog_name="clamnet-tf")
    first, second = call(), call()
    assert first.exit_code == second.exit_code == 0, first.output + second.output
    assert "header written" in first.stdout and "has this header already" in second.stdout
    assert path.read_bytes().endswith(b"\n---\n\n" + before) and read_entry(folder) == entry
    path.unlink()
    assert call().exit_code == 2
