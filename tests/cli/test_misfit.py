"""Warnings on images and labels that a recipe is not for."""

from types import SimpleNamespace

import numpy as np
import pytest

from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.workflows.misfit import misfit_lines


class Table(SimpleNamespace):
    def __len__(self):
        return len(self.split)


def prepared(by_study):
    """Four slices of two volumes, three of them on the side train."""
    table = Table(
        by_study=np.array(by_study), split=np.array(["train"] * 3 + ["test"]), volume=np.array([0, 0, 1, 1])
    )
    return SimpleNamespace(table=table, fallback=0)


@pytest.mark.parametrize(
    ("name", "by_study", "warned"),
    [
        ("mri_carcinoma", [False, False, True, False], True),
        ("mri_carcinoma", [False, False, False, True], False),  # labels of studies do not teach
        ("ct_trauma", [True, True, True, True], False),  # an atlas of normal slices teaches
    ],
)
@pytest.mark.parametrize("data", [None, "studies"])
def test_labels_of_studies_need_an_atlas_of_normal_slices(name, by_study, warned, data):
    lines = misfit_lines(load_recipe(name), prepared(by_study), SimpleNamespace(data=data))
    assert any("labels of studies teach" in line for line in lines) == warned
