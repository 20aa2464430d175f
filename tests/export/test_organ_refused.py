"""Organ steps that no graph can hold are refused by name, not replaced by another organ."""

import types

import pytest

from clamnet_tf.export.endpoints import why_not_encoded
from clamnet_tf.recipe.schema_data import DataSection, OrganSection


@pytest.mark.parametrize("method", ["lungs_ct", "breast", "bone", "body"])
def test_whole_pictures_are_refused_by_the_name_of_the_method(method):
    source = types.SimpleNamespace(data=DataSection(), organ=OrganSection(method=method), channels=1)
    assert why_not_encoded(source) == f"organ.method {method} cannot be computed from one picture in a graph"


def test_whole_pictures_with_the_foreground_are_taken():
    source = types.SimpleNamespace(data=DataSection(), organ=OrganSection(), channels=1)
    assert why_not_encoded(source) is None
