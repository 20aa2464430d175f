"""What `verify` must notice: every way in which an entry can stop being what it says."""

import json

import keras
import pytest

from clamnet_tf.zoo.read import entry_text, read_entry
from clamnet_tf.zoo.verify import verify

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 saving under NumPy 2


def problems(folder) -> dict:
    return {check.name: check.problem for check in verify(folder) if check.problem}


def rewrite_entry(folder, **changes):
    """Change entry.yaml below its sections: input__side=64."""
    entry = read_entry(folder)
    for path, value in changes.items():
        section, key = path.split("__") if "__" in path else (None, path)
        update = (
            {key: value}
            if section is None
            else {section: getattr(entry, section).model_copy(update={key: value})}
        )
        entry = entry.model_copy(update=update)
    (folder / "entry.yaml").write_text(entry_text(entry), encoding="utf-8")


def resave(folder, network):
    """Other weights with their right sha256 and size."""
    import hashlib

    network.save(folder / "model.keras")
    content = (folder / "model.keras").read_bytes()
    rewrite_entry(folder, weights__sha256=hashlib.sha256(content).hexdigest(), weights__bytes=len(content))


def test_a_changed_byte_and_a_missing_file(small):
    folder = small
    with open(folder / "model.keras", "r+b") as stream:
        stream.seek(1000)
        stream.write(b"\xff\x00")
    found = problems(folder)
    assert found.keys() == {"files"} and "expected sha256" in found["files"]
    (folder / "golden.json").unlink()
    assert "missing: golden.json" in problems(folder)["files"]


def test_a_wrong_folder_name(small):
    folder = small
    assert (
        "expected a folder named mri_small" in problems(folder.rename(folder.with_name("mri_other")))["files"]
    )


@pytest.mark.parametrize(
    ("changes", "check", "message"),
    [
        (
            {"input__normalization": "none"},
            "recipe",
            "input.normalization: entry.yaml has none, the recipe or selection zscore",
        ),
        ({"eta": 0.5}, "recipe", "eta: entry.yaml has 0.5"),
        ({"threshold__value": 0.5}, "recipe", "threshold.value: entry.yaml has 0.5"),
        (
            {"input__channels": 1, "input__channel_order": ["a"]},
            "shapes",
            "the network takes (None, 16, 16, 2)",
        ),
        (
            {"output__heads": ["head_1"]},
            "shapes",
            "output.heads: entry.yaml says head_1, the network gives head_1, head_2",
        ),
        ({"output__classes": ["a", "b", "c"]}, "shapes", "entry.yaml says softmax of (None, 16, 16, 3)"),
        ({"intended_use": "Everything."}, "card", "do not say what entry.yaml says: Intended use"),
    ],
    ids=lambda value: "" if not isinstance(value, dict) else next(iter(value)),
)
def test_a_declaration_that_is_not_so(small, changes, check, message):
    folder = small
    rewrite_entry(folder, **changes)
    assert message in problems(folder)[check]


def test_swapped_weights_of_one_shape_are_noticed_by_the_golden_output(small):
    folder = small
    network = keras.saving.load_model(folder / "model.keras", compile=False)
    first, second = network.get_layer("x_0_1_conv_2"), network.get_layer("x_0_0_conv_2")
    kernels = first.get_weights(), second.get_weights()
    first.set_weights(kernels[1])
    second.set_weights(kernels[0])
    resave(folder, network)
    found = problems(folder)
    assert "the network gives other numbers for the golden input" in found["golden output"]


def test_a_golden_file_that_is_none_and_one_with_a_nan(small):
    folder = small
    golden = json.loads((folder / "golden.json").read_text())
    (folder / "golden.json").write_text("{}")
    assert "not a golden output" in problems(folder)["golden output"]
    golden["marker_probability"]["head_1"]["mean"] = float("nan")
    (folder / "golden.json").write_text(json.dumps(golden))
    assert "golden output" in problems(folder)


def test_a_card_without_a_section(small):
    folder = small
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card + "\n## More\n\nThe card may say more.\n")
    assert problems(folder) == {}
    (folder / "README.md").write_text(card.replace("## Limits", "## Not"))
    assert problems(folder)["card"].endswith("Limits. clamnet-tf zoo publish writes them.")


def test_a_network_with_foreign_code_is_not_loaded(small):
    import hashlib
    import zipfile

    import clamnet_tf
    from clamnet_tf.errors import NetworkError

    path = small / "model.keras"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1]["config"]["activation"] = {
        "module": "os",
        "class_name": "system",
        "config": "touch /tmp/mark",
        "registered_name": "system",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**parts, "config.json": json.dumps(config).encode()}.items():
            archive.writestr(name, content)
    rewrite_entry(
        small,
        weights__sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        weights__bytes=path.stat().st_size,
    )
    assert "names os.system, which is not among the stock Keras layers" in problems(small)["network"]
    with pytest.raises(NetworkError, match="names os.system"):
        clamnet_tf.load(small)
