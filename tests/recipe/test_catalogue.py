import pytest

from clamnet_tf.errors import RecipeError
from clamnet_tf.recipe import catalogue
from clamnet_tf.recipe.catalogue import find_recipe, load_recipe, recipe_folder, recipe_names


def test_names_are_those_of_the_files():
    assert "mri_carcinoma" in recipe_names()
    assert all((recipe_folder() / f"{name}.yaml").is_file() for name in recipe_names())


def test_a_name_works_from_any_folder_and_a_path_too(write_recipe):
    path = write_recipe()
    assert load_recipe("mri_carcinoma").name == "mri_carcinoma"
    assert load_recipe(path).name == "small"
    assert load_recipe(recipe_folder() / "mri_carcinoma.yaml") == load_recipe("mri_carcinoma")


def test_a_shipped_name_is_not_shadowed_by_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mri_carcinoma").mkdir()
    assert find_recipe("mri_carcinoma") == recipe_folder() / "mri_carcinoma.yaml"


def test_a_path_without_suffix(write_recipe, tmp_path):
    write_recipe()
    (tmp_path / "r.yaml").rename(tmp_path / "mine")
    assert load_recipe("mine").name == "small"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mri_carcinomas",
            "mri_carcinomas: expected a shipped recipe .*mri_carcinoma.* or a path, received neither; "
            "nearest valid name mri_carcinoma",
        ),
        (
            "zzz",
            "zzz: expected a shipped recipe .* received neither; give the path of your own recipe with its "
            ".yaml",
        ),
        (
            "recipes/mri_carcinoma.yaml",
            "the shipped recipe is named mri_carcinoma, without folder and suffix",
        ),
        (
            "nowhere/zzz.yaml",
            "nowhere/zzz.yaml: expected the path of a recipe, received one that does not exist; check the "
            "path",
        ),
    ],
)
def test_neither_name_nor_path(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=message):
        load_recipe(name)


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="expected a recipe file, received a folder"):
        load_recipe(tmp_path)


def test_an_installed_package_has_its_own_folder(tmp_path, monkeypatch):
    installed = tmp_path / "clamnet_tf" / "_recipes"
    installed.mkdir(parents=True)
    (installed / "ct_trauma.yaml").write_text("name: ct_trauma\n")
    monkeypatch.setattr(catalogue, "_PACKAGE", tmp_path / "clamnet_tf")
    assert recipe_names() == ["ct_trauma"]
    assert find_recipe("ct_trauma") == installed / "ct_trauma.yaml"


def test_problems_of_a_shipped_recipe_name_its_file():
    with pytest.raises(RecipeError, match=r"mri_carcinoma.yaml:\d+: network.filters: expected 4 entries"):
        load_recipe("mri_carcinoma", ["network.depth=4"])
