"""What a recipe's precision sets, and what the reader of a run is told about it."""

import keras
import pytest

from clamnet_tf.networks import fast_form
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.training.precision import precision_note, set_precision


@pytest.fixture(autouse=True)
def float32_after():
    yield
    set_precision(False)


@pytest.mark.parametrize(
    ("mixed", "policy", "kind"),
    [
        (False, "float32", "float32"),
        (True, "mixed_float16", "float32"),
        ("bfloat16", "float32", "bfloat16"),
    ],
)
def test_the_recipe_sets_policy_and_convolutions(mixed, policy, kind):
    recipe = load_recipe("mri_carcinoma", [f"runtime.mixed_precision={str(mixed).lower()}"])
    assert recipe.runtime.mixed_precision == mixed
    set_precision(recipe.runtime.mixed_precision)
    assert keras.mixed_precision.global_policy().name == policy
    assert fast_form._training_kind == kind


def test_the_note_fits_the_processor():
    amx, older = {"avx512f", "amx_bf16"}, {"avx2"}
    assert "--set runtime.mixed_precision=bfloat16 trains faster" in precision_note(False, amx)
    assert precision_note("bfloat16", amx) is None and precision_note(False, older) is None
    assert "this one has none" in precision_note("bfloat16", older)
    assert precision_note("bfloat16", set()) is None  # a system that does not say
