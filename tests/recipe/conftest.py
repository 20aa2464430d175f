import pytest

SMALL = """\
name: small
modality: mri
condition: carcinoma
data:
  side: 32
network:
  depth: 3
  filters: [2, 2, 2]
  kernels: [3, 3, 3]
"""


@pytest.fixture
def write_recipe(tmp_path, monkeypatch):
    """Write a recipe as r.yaml into the working folder, so that messages call it r.yaml; return that name."""
    monkeypatch.chdir(tmp_path)

    def write(text=SMALL):
        (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
        return "r.yaml"

    return write


@pytest.fixture
def problems_of(write_recipe):
    """The lines of the RecipeError that a recipe's text and overrides raise; [] when it is right."""
    from clamnet_tf.errors import RecipeError
    from clamnet_tf.recipe.catalogue import load_recipe

    def problems(text=SMALL, *overrides):
        try:
            load_recipe(write_recipe(text), overrides)
        except RecipeError as error:
            return str(error).splitlines()
        return []

    return problems


@pytest.fixture
def small_text():
    return SMALL
