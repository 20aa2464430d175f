"""Which runs a study needs: shared, reused, distinct; and what `--list` says about them."""

import re

import pytest

from clamnet_tf.errors import RecipeError
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.study.folder import State, training_seconds
from clamnet_tf.study.listing import listing_lines
from clamnet_tf.study.plan import open_source
from clamnet_tf.study.runner import wanted
from clamnet_tf.study.times import duration, seconds_left, seconds_per_step


def keys(planned, arm):
    return [trial.run.key for trial in planned.of(arm)]


def test_every_arm_and_seed_has_its_run_and_equal_recipes_share_one(planned):
    plan, _ = planned
    assert len(plan.trials) == 7 * 2  # the simple arm needs none
    assert len(plan.runs) == 5 * 2 and len({run.key for run in plan.runs}) == 10
    assert keys(plan, "head_1") == keys(plan, "twins") and plan.of("head_1")[0].overrides == (
        "inference.head=1",
    )
    assert (
        plan.of("twins")[0].run.steps == 60 + 120
        and plan.of("short")[0].run.steps == 20 + 120
        and plan.of("supervised")[0].run.steps == 180
    )
    assert all(
        trial.run is None and "loss.etaa" in trial.problem and "nearest valid key loss.eta" in trial.problem
        for trial in plan.of("wrong")
    )


def test_what_the_study_sets_holds_for_every_arm_and_the_arm_has_the_last_word(
    write_study, make_study, study_text, tmp_path
):
    text = "set: {training.batch_size: 6, twin.kind: ema}\n" + study_text
    plan, _ = make_study(write_study(text), tmp_path / "out")
    path, kinds = tmp_path / "r.yaml", {}
    for arm in ("twins", "no_twin", "supervised"):
        path.write_text(plan.of(arm)[0].run.recipe_text)
        recipe = load_recipe(path)
        kinds[arm] = recipe.twin.kind
        assert recipe.training.batch_size == 6
    assert kinds["twins"] == "ema" and kinds["no_twin"] == "none"


def test_the_text_of_a_run_is_the_resolved_recipe(planned, tmp_path):
    run = planned[0].of("no_twin")[1].run
    path = tmp_path / "r.yaml"
    path.write_text(run.recipe_text)
    recipe = load_recipe(path)
    assert (recipe.twin.kind, recipe.training.seed) == ("none", 1) and to_yaml(recipe) == run.recipe_text


def test_a_key_depends_on_what_decides_the_result_and_on_nothing_else(
    write_study, make_study, study_text, tmp_path
):
    before, _ = make_study(write_study(), tmp_path / "out")
    changed = (
        study_text.replace("title: No twin", "title: Another title")
        .replace("seeds: [0, 1]", "seeds: [1, 2]")
        .replace("steps: 20}", "steps: 30}")
    )
    after, _ = make_study(write_study(changed), tmp_path / "elsewhere")
    assert keys(after, "no_twin")[0] == keys(before, "no_twin")[1]
    assert not set(keys(after, "short")) & set(keys(before, "short"))
    recipe = tmp_path / "renamed.yaml"
    recipe.write_text(
        to_yaml(load_recipe("mri_carcinoma")).replace("name: mri_carcinoma", "name: mri_renamed")
    )
    renamed, _ = make_study(
        write_study(study_text.replace("recipe: mri_carcinoma", "recipe: renamed.yaml")), tmp_path / "out"
    )
    assert keys(renamed, "twins") == keys(before, "twins")


def test_changed_data_change_the_identity_and_their_place_does_not(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.tif").write_bytes(b"pixels")
    split = tmp_path / "split.csv"
    split.write_text("patient,split\n")

    def identity(folder):
        return open_source(tmp_path / folder, None, split, None, tmp_path / "memo").identity

    first = identity("one")
    assert identity("two") == first
    split.write_text("patient,split\na,train\n")
    assert identity("one") != first
    split.write_text("patient,split\n")
    (tmp_path / "one" / "a.tif").write_bytes(b"Pixels")
    assert identity("one") != first


def test_first_seeds_run_first_and_only_takes_arms(planned):
    plan, _ = planned
    order = [run.title for run in wanted(plan)]
    assert [title.rsplit(" ", 1)[1] for title in order] == ["0"] * 5 + ["1"] * 5
    assert [run.title for run in wanted(plan, ["head_1"])] == ["twins, seed 0", "twins, seed 1"]


def test_a_missing_recipe_file_is_the_arms_own_problem(write_study, make_study, study_text, tmp_path):
    plan, _ = make_study(
        write_study(study_text.replace("set: {training.steps: 20}", "recipe: nowhere.yaml")), tmp_path / "out"
    )
    assert "nowhere.yaml" in plan.of("short")[0].problem and plan.of("twins")[0].problem is None
    with pytest.raises(RecipeError):
        make_study(tmp_path / "no_study.yaml", tmp_path / "out")


def test_list_says_how_far_everything_is(planned, fill_study):
    plan, folder = planned
    fill_study(
        plan, folder, arms=("twins",), seeds=(0,)
    )  # 180 steps of 16 slices at 10 slices a second: 1.6 s a step
    run = folder.run(plan.of("no_twin")[0].run)
    run.path.mkdir(parents=True)
    run.recipe.write_text("x")
    run.metrics.write_text('{"kind": "train", "step": 20, "slices_per_second": 8.0}\n')
    folder.fail(plan.of("short")[0].run, "The loss is not finite.")
    lines = {tuple(line.split()[:2]): line for line in listing_lines(plan, folder)}
    assert re.search(r"done +5 min$", lines["twins", "0"])
    assert re.search(r"missing +5 min$", lines["twins", "1"])  # from the same arm: 180 x 1.6 s
    assert re.search(r"partly, step 20 of 180 +40 s +5 min$", lines["no_twin", "0"])  # 160 x 2 s
    assert "failed: The loss is not finite." in lines["short", "0"]
    assert re.search(r"trained; to be evaluated on test \(shared with twins, seed 0\)", lines["head_1", "0"])
    assert "not valid: --set loss.etaa" in lines["wrong", "0"]
    assert "no training; whole_organ of twins" in lines["whole_organ", "-"]
    assert listing_lines(plan, folder)[-1].startswith(
        "10 runs: 1 done, 1 partly, 7 missing, 1 failed; training left: "
    )


def test_times(planned):
    plan, _ = planned
    states = {run.key: State("missing") for run in plan.runs}
    assert seconds_left(plan, states) is None
    first = plan.runs[0]
    states[first.key] = State("done", first.steps, 2.0 * first.steps)
    assert set(seconds_per_step(plan, states).values()) == {2.0}
    assert seconds_left(plan, states, jobs=2) == sum(run.steps for run in plan.runs[1:])
    rows = [
        {"kind": "train", "step": 10, "slices_per_second": 4.0},
        {"kind": "look", "step": 10},
        {"kind": "train", "step": 14, "slices_per_second": 2.0},
    ]
    assert training_seconds(rows, batch_size=8) == 10 * 8 / 4 + 4 * 8 / 2
    assert training_seconds([], 8) is None
    assert [duration(seconds) for seconds in (None, 8, 600, 12000)] == [
        "unknown",
        "8 s",
        "10 min",
        "3 h 20 min",
    ]
