"""organ.method network: a run that finds the organ, used by another run; the network is made by hand, so that
every mask is known.
"""

import numpy as np
import yaml
from click.testing import CliRunner
from PIL import Image

from clamnet_tf.cli.main import main


def with_organ_network(run, organ):
    """The run `run` with the recipe's organ found by the run `organ`."""
    content = yaml.safe_load((run / "recipe.yaml").read_text())
    content["organ"] |= {"method": "network", "network": str(organ), "margin": 0.0}
    (run / "recipe.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return run


def picture(path, seed=0):
    """32 x 32: a lung of value 160 with a spot of 220, and a brighter spot outside of it."""
    image = np.full((32, 32), 20, np.uint8)
    image[4:20, 6:22] = 160
    image[8:12, 8:14] = 220
    image[26:30, 26:30] = 250 - seed
    Image.fromarray(image).save(path)
    return image


def test_marks_lie_inside_what_the_network_finds(write_run, predict, tmp_path):
    """The organ network marks all that is at least 150, the other at least 200 of that."""
    organ = write_run(tmp_path / "organ", 150, normalization="none", modality="xray")
    run = with_organ_network(
        write_run(tmp_path / "marker", 200, normalization="none", modality="xray"), organ
    )
    image = picture(tmp_path / "chest.png")
    result, out, rows = predict(run, tmp_path / "chest.png", options=["--format", "png"])
    assert result.exit_code == 0, result.output
    mask = np.asarray(Image.open(next(out.rglob("*_mask.png")))) > 0
    assert int(rows[0]["organ_px"]) == (image >= 150).sum()
    assert (mask != (image >= 200)).sum() <= 6  # the crop is resized: one column of an edge may go


def test_an_image_without_an_organ_is_said_to_have_none(write_run, predict, tmp_path):
    organ = write_run(tmp_path / "organ", 251, normalization="none", modality="xray")  # finds nothing
    run = with_organ_network(
        write_run(tmp_path / "marker", 200, normalization="none", modality="xray"), organ
    )
    picture(tmp_path / "chest.png")
    result, _out, rows = predict(run, tmp_path / "chest.png", options=["--format", "png"])
    assert (
        "no plausible network in 1 slice(s): there the foreground without its rim is the organ"
        in result.output
    )
    assert result.exit_code == 0 and 0 < int(rows[0]["organ_px"]) < 32 * 32


def test_an_unknown_network_is_named(write_run, predict, tmp_path):
    run = with_organ_network(
        write_run(tmp_path / "marker", 200, normalization="none", modality="xray"), "xray_lunge"
    )
    picture(tmp_path / "chest.png")
    result, *_ = predict(run, tmp_path / "chest.png")
    assert (
        result.exit_code == 2
        and "xray_lunge: expected a run folder or the name of a zoo entry" in result.output
    )


def test_prepared_slices_belong_to_one_network(write_run, tmp_path):
    """Another organ network means other prepared slices, also under the same name."""
    for name, bright in (("a", 150), ("b", 210)):
        write_run(tmp_path / name, bright, normalization="none", modality="xray")
    folder = tmp_path / "data"
    for patient in range(6):
        for kind in ("normal", "ill"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            picture(folder / kind / f"p{patient}{kind}_1.png", seed=2 * patient + (kind == "ill"))
    for name in ("a", "b", "a"):
        recipe = tmp_path / f"{name}.yaml"
        run = with_organ_network(tmp_path / name, tmp_path / name)
        recipe.write_text((run / "recipe.yaml").read_text())
        content = yaml.safe_load(recipe.read_text())
        (run / "recipe.yaml").write_text(
            yaml.safe_dump(
                content | {"organ": content["organ"] | {"method": "none", "network": None}}, sort_keys=False
            )
        )
        result = CliRunner().invoke(
            main,
            ["data", "prepare", str(recipe), "--data", str(folder), "--cache", str(tmp_path / "cache")],
            prog_name="clamnet-tf",
        )
        assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "cache").glob("prepared-*"))) == 2
