"""What a reader must know of the model stands on console and pages; other modalities are refused."""

import json
import shutil

import nibabel
import numpy as np
import pytest

import clamnet_tf
from clamnet_tf.reporting.learning_wording import WARNING

SENTENCE = f"{WARNING}this run is not shown to have learned anything: slice AUROC 0.51."


def nifti(path, values):
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0])), path)


def plain(command, run, inputs, out):
    from click.testing import CliRunner

    from clamnet_tf.cli.main import main

    return CliRunner().invoke(main, [command, str(run), *map(str, inputs), "--out", str(out)])


def test_a_warning_of_the_check_of_learning_is_on_every_page(run, predict, tmp_path, rng):
    warned = tmp_path / "warned"
    shutil.copytree(run, warned)
    (warned / "learning.json").write_text(json.dumps({"sentences": [SENTENCE, "More."]}))
    for name in ("a.nii.gz", "b.nii.gz"):
        nifti(tmp_path / name, rng.random((32, 24, 3)))
    result, out, _ = predict(warned, tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert SENTENCE in result.stdout and f"Page: {out / 'report.html'}" in result.stdout
    for page in ("report.html", "a_report.html", "b_report.html"):
        assert f'<p class="warning">{SENTENCE}</p>' in (out / page).read_text(encoding="utf-8"), page
    model = clamnet_tf.Segmenter.from_preset(warned)
    assert model.warnings == (SENTENCE,) and SENTENCE in model.predict(tmp_path / "a.nii.gz").notes
    quiet, other, _ = predict(run, tmp_path / "a.nii.gz", out=tmp_path / "other")
    assert WARNING not in quiet.stdout + (other / "report.html").read_text(encoding="utf-8")


def test_the_limits_of_a_zoo_entry_are_on_the_page(predict, tmp_path, rng):
    nifti(tmp_path / "p.nii.gz", 20 + 20 * rng.random((32, 32, 2)))
    result, out, _ = predict("ct_nodule", tmp_path / "p.nii.gz")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Limits: " in result.stdout and "<dt>Limits</dt>" in page and "<dt>Trained for</dt>" in page


@pytest.mark.parametrize("name", ["p_T1.nii.gz", "sub-1_ce-gd_T1w.nii", "p_FLAIR.nii.gz", "p_t2.nii.gz"])
def test_volumes_named_like_mr_sequences_are_refused_by_other_models(write_run, tmp_path, rng, name):
    ct = write_run(tmp_path / "run", 150, normalization="none", modality="ct")
    nifti(tmp_path / name, rng.integers(-1000, 1000, (32, 24, 3)))
    result = plain("predict", ct, [tmp_path / name], tmp_path / "out")
    assert result.exit_code == 2 and "is named like an MR sequence" in result.stderr
    assert "--any-modality" in result.stderr and not list((tmp_path / "out").rglob("*_mask*"))
    named_otherwise = tmp_path / "thorax.nii.gz"
    nifti(named_otherwise, rng.integers(-1000, 1000, (32, 24, 3)))
    assert plain("predict", ct, [named_otherwise], tmp_path / "out2").exit_code == 0


def test_a_ct_model_of_any_unit_says_that_values_are_no_hounsfield_units(write_run, tmp_path, rng):
    ct = write_run(tmp_path / "run", 150, normalization="none", modality="ct")
    nifti(tmp_path / "scan.nii.gz", 3000 * rng.random((40, 40, 3)))
    result = plain("predict", ct, [tmp_path / "scan.nii.gz"], tmp_path / "out")
    assert result.exit_code == 0 and "ATTENTION: is this a CT?" in result.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "ATTENTION: is this a CT?" in page
