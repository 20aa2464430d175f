"""entry.yaml: every problem of a wrong one at once, with dotted path and nearest key; written and read back
the same.
"""

import pytest

from clamnet_tf.errors import ZooError
from clamnet_tf.zoo.read import check_weights, entry_of, entry_text, read_entry

# old text -> new text: message
WRONG = {
    (
        "normalization: zscore",
        "normalisation: zscore",
    ): r"input\.normalisation: expected a key of input \(.*nearest valid key input\.normalization",
    ("sha256: ", "sha256: X"): r"weights\.sha256: expected text of the form \^\[0-9a-f\]\{64\}\$",
    (
        "file: model.keras",
        "file: ../model.keras",
    ): r"weights\.file: expected model\.keras, received text '\.\./model\.keras'",
    ("file: model.keras", "file: /etc/passwd"): r"weights\.file: expected model\.keras",
    ("recipe: recipe.yaml", "recipe: ../recipe.yaml"): r"recipe: expected recipe\.yaml",
    ("name: mri_carcinoma", "name: ../mri"): r"name: expected text .* of the form",
    (
        "name: mri_carcinoma",
        "name: ct_carcinoma",
    ): r"name: expected a name that begins with the modality, mri_, received ct_carcinoma",
    (
        "kind: marker",
        "kind: makrer",
    ): r"kind: expected marker or organ, received text 'makrer'; nearest valid value marker",
    (
        "  side: 128",
        "  side: '128'",
    ): r"input\.side: expected a whole number of at least 1, received text '128'",
    (
        "  channels: 3",
        "  channels: 4",
    ): r"input\.channel_order: expected 4 entries, one per channel, received 3",
    ("  heads: [head_1,", "  heads: [nose_1,"): r"output\.heads\[0\]: expected text of the form",
    ("head: mean", "head: 7"): r"threshold\.head: expected mean or one of head_1, head_2, head_3, received 7",
    ("- version: 1", "- version: 3"): r"changelog: expected versions from 1 downwards, each once, received 3",
    (
        "  date: ",
        "  daet: ",
    ): r"changelog\[0\]\.daet: expected a key .*nearest valid key changelog\[0\]\.date",
    (
        "  dice_volume:\n    value: ",
        "  dice_volume:\n    value: 9",
    ): r"metrics\.dice_volume: expected a value inside its interval",
    ("kind: marker", 'kind: marker\nnotes: "\\e[2Jgone"\nx: 1'): r"x: expected a key",
    (
        "condition: carcinoma",
        'condition: "carci\\e[2Jnoma"',
    ): r"condition: expected text without control characters, received 'carci\\x1b\[2Jnoma'",
    ("eta: 0.7", "eta: .nan"): r"eta: expected",
}


@pytest.mark.parametrize(("change", "message"), WRONG.items(), ids=[f"{old} > {new}" for old, new in WRONG])
def test_a_wrong_entry_says_what_and_where(copy, change, message):
    folder = copy()
    text = (folder / "entry.yaml").read_text(encoding="utf-8")
    assert change[0] in text
    (folder / "entry.yaml").write_text(text.replace(change[0], change[1], 1), encoding="utf-8")
    with pytest.raises(ZooError, match=rf"entry\.yaml:\d+: {message}"):
        read_entry(folder)


def test_all_problems_are_said_at_once(copy):
    folder = copy()
    text = (folder / "entry.yaml").read_text(encoding="utf-8")
    for old, new in [
        ("kind: marker", "kind: x"),
        ("  side: 128", "  side: -1"),
        ("version: 1", "version: 0"),
        ("eta: 0.7", "etta: 0.7"),
        ("  licence: ", "  license: "),
    ]:
        text = text.replace(old, new, 1)
    (folder / "entry.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ZooError) as caught:
        read_entry(folder)
    lines = str(caught.value).splitlines()
    assert len(lines) >= 5
    for part in (
        "kind: expected",
        "input.side: expected",
        "version: expected",
        "etta: expected",
        "weights.license: expected",
    ):
        assert any(part in line for line in lines), part


def test_what_is_written_is_read_back(copy):
    entry = read_entry(copy())
    folder = copy("mri_other")
    (folder / "entry.yaml").write_text(entry_text(entry), encoding="utf-8")
    assert read_entry(folder) == entry
    assert entry_of(entry.model_dump(mode="json"), "here") == entry


def test_no_entry_no_file(tmp_path):
    with pytest.raises(ZooError, match=r"expected the folder of a zoo entry; it has no entry\.yaml"):
        read_entry(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"x" + content[1:], "expected sha256"),
        (lambda content: content + b"x", r"expected \d+ bytes"),
    ],
)
def test_weights_that_were_changed_are_refused(copy, change, message):
    folder = copy()
    entry, path = read_entry(folder), folder / "model.keras"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ZooError, match=message):
        check_weights(folder, entry)
    path.unlink()
    with pytest.raises(ZooError, match=r"model\.keras: missing"):
        check_weights(folder, entry)
