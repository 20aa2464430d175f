"""Find and read recipes, by the name of a shipped one or by a path."""

import os
from pathlib import Path

from clamnet_tf.errors import RecipeError
from clamnet_tf.recipe.foreign import is_foreign, without_quotes
from clamnet_tf.recipe.moved import move_keys
from clamnet_tf.recipe.overrides import apply_overrides
from clamnet_tf.recipe.problems import Place, recipe_error
from clamnet_tf.recipe.reader import Node, read_file, read_text
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.suggest import nearest
from clamnet_tf.recipe.validate import validate

_PACKAGE = Path(__file__).resolve().parents[1]
_STUDY = "study_"


def recipe_folder() -> Path:
    """Return the folder of the shipped recipes: clamnet_tf/_recipes of an installed package, recipes/ of a
    checkout.
    """
    installed = _PACKAGE / "_recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "recipes"


def recipe_names() -> list:
    """Return the names of the shipped recipes, sorted."""
    return sorted(path.stem for path in recipe_folder().glob("*.yaml") if not path.stem.startswith(_STUDY))


def study_names() -> list:
    """Return the names of the shipped studies (study_*.yaml beside the recipes), sorted."""
    return sorted(path.stem for path in recipe_folder().glob(f"{_STUDY}*.yaml"))


def find_recipe(name_or_path) -> Path:
    """Return the path of the recipe that a shipped name or a path stands for.

    Raises:
        RecipeError: there is neither such a name nor such a file.
    """
    text = os.fspath(name_or_path)
    path = Path(text)
    names = recipe_names()
    if text in names:
        return recipe_folder() / f"{text}.yaml"
    if path.exists():
        return path
    if path.suffix in (".yaml", ".yml") or len(path.parts) != 1:
        near = nearest(path.stem, names)
        advice = (
            f"the shipped recipe is named {near}, without folder and suffix" if near else "check the path"
        )
        raise RecipeError(
            f"{text}: expected the path of a recipe, received one that does not exist; {advice}"
        )
    near = nearest(text, names)
    advice = f"nearest valid name {near}" if near else "give the path of your own recipe with its .yaml"
    raise RecipeError(
        f"{text}: expected a shipped recipe ({', '.join(names) or 'none is installed'}) or a path, received "
        f"neither; {advice}"
    )


def load_recipe(name_or_path, overrides=()) -> Recipe:
    """Read a recipe, put the overrides in and check the whole.

    Args:
        name_or_path: name of a shipped recipe, or path of a YAML file.
        overrides: texts such as "network.depth=3", in the order in which they apply.

    Returns:
        The Recipe. Levels that are to be drawn stay "random"; `recipe.writer.resolve` draws them.

    Raises:
        RecipeError: with every problem of the file and of the overrides, one per line.

    Examples:
        >>> recipe = load_recipe("mri_carcinoma", ["loss.eta=0.8"])
        >>> recipe.modality, recipe.loss.eta
        ('mri', 0.8)
    """
    path = find_recipe(name_or_path)
    name = path if path == Path(name_or_path) else _short(path)
    root, problems = read_file(path, name=name)
    problems = without_quotes(root, problems, Recipe.model_fields, "a recipe", str(name))
    if is_foreign(root, Recipe.model_fields):
        raise recipe_error(problems)
    if root is None:  # what can be said of the overrides without the file
        raise recipe_error(problems + apply_overrides(Node(Place("", 1), {}), overrides))
    problems += move_keys(root)
    return validate(root, problems + apply_overrides(root, overrides))


def recipe_of(text: str) -> Recipe:
    """Return the Recipe of a YAML text, such as `recipe.writer.to_yaml` writes.

    Raises:
        RecipeError: with every problem of the text, one per line.
    """
    root, problems = read_text(text, "recipe")
    if root is None:
        raise recipe_error(problems)
    return validate(root, problems + move_keys(root))


def _short(path):
    """Return a shipped recipe's path relative to the working folder when it lies below it, else the path
    itself.
    """
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
