"""Read a study file into a Study, or raise a RecipeError with every problem, its line and what to do."""

from pathlib import Path

from pydantic import ValidationError

from clamnet_tf.errors import RecipeError
from clamnet_tf.recipe.catalogue import recipe_folder, study_names
from clamnet_tf.recipe.foreign import is_foreign, without_quotes
from clamnet_tf.recipe.problems import Problem, recipe_error
from clamnet_tf.recipe.reader import Node, read_file
from clamnet_tf.recipe.schema_problems import place as place_of
from clamnet_tf.recipe.schema_problems import schema_problems
from clamnet_tf.recipe.suggest import nearest
from clamnet_tf.study.schema import Study


def find_study(name_or_path) -> Path:
    """Return the file of a shipped study, or of a path. Raises RecipeError when there is neither."""
    text, names = str(name_or_path), study_names()
    if text in names:
        return recipe_folder() / f"{text}.yaml"
    if Path(text).exists():
        return Path(text)
    nearest_name = nearest(Path(text).stem, names)
    advice = f"nearest valid name {nearest_name}" if nearest_name else "give the path of your own study file"
    raise RecipeError(
        f"{text}: expected a shipped study ({', '.join(names) or 'none is installed'}) or a path, received "
        f"neither; {advice}"
    )


def load_study(path) -> Study:
    """Read and check a study file. Raises RecipeError with every problem of the file, one line each."""
    root, problems = read_file(path)
    problems = without_quotes(root, problems, Study.model_fields, "a study", str(path))
    if root is None or is_foreign(root, Study.model_fields):
        raise recipe_error(problems)
    try:
        study = Study.model_validate(root.plain())
    except ValidationError as error:
        problems += schema_problems(Study.model_json_schema(), root, error, set(root.unreadable()))[0]
        raise recipe_error(problems) from error
    problems += _rules(root, study)
    if problems:
        raise recipe_error(problems)
    return study


def _rules(root: Node, study: Study) -> list[Problem]:
    """Check rules on several keys.

    Names are unique, names that are referred to exist, and simple arms name their baseline.
    """
    problems, place_of_name = [], {}
    for arm_path, arm in _arms(study):
        first_place = place_of_name.setdefault(arm.name, arm_path)
        if first_place != arm_path:
            path = (*arm_path, "name")
            problems.append(
                Problem(
                    place_of(root, path),
                    path,
                    "a name that no other arm has",
                    arm.name,
                    "rename one of the two",
                )
            )
        for path, wrong, expected, received, advice in _arm_rules(arm_path, arm):
            if wrong:
                problems.append(Problem(place_of(root, path), path, expected, received, advice))
    kinds = {arm.name: arm.kind for arm in study.arms()}
    for key, wanted in (
        ("reference", ("weak", "mixed", "supervised", "control")),
        ("ceiling", ("supervised",)),
        ("floor", tuple(set(kinds.values()))),
    ):
        name, position = getattr(study, key), place_of(root, (key,))
        if name is not None and name not in kinds:
            nearest_name = nearest(name, kinds)
            advice = (
                f"nearest valid name {nearest_name}" if nearest_name else f"the arms are {', '.join(kinds)}"
            )
            problems.append(Problem(position, (key,), "the name of an arm", name, advice))
        elif name is not None and kinds[name] not in wanted:
            received = f"{name}, which is {kinds[name]}"
            problems.append(
                Problem(
                    position,
                    (key,),
                    f"an arm of the kind {' or '.join(wanted)}",
                    received,
                    "name another arm",
                )
            )
    return problems


def _arm_rules(arm_path, arm):
    """Yield (path, wrong, expected, received, advice) for one arm."""
    simple, path = arm.kind == "simple", (*arm_path, "baseline")
    advice = "for example whole_organ; metrics.json of an evaluation lists them"
    yield (
        path,
        simple and arm.baseline is None,
        "the name of a baseline, since the arm is simple",
        "nothing",
        advice,
    )
    received = str(arm.baseline)
    yield (
        path,
        not simple and arm.baseline is not None,
        "no baseline, since the arm is trained",
        received,
        "remove it, or write kind: simple",
    )
    trains = [key for key in ("recipe", "seeds") if getattr(arm, key) is not None] + (
        ["set"] if arm.set else []
    )
    yield (
        (*arm_path, *trains[:1]),
        simple and bool(trains),
        "nothing that is trained, since the arm is simple",
        ", ".join(trains),
        "remove it",
    )


def _arms(study: Study):
    """Yield (path, arm) for every arm."""
    for group_index, group in enumerate(study.groups):
        for arm_index, arm in enumerate(group.arms):
            yield ("groups", group_index, "arms", arm_index), arm
