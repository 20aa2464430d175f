"""A study's figures against ones computed here from the patients.csv files, with SciPy and by hand."""

import csv
import json

import numpy as np
import pytest
from scipy import stats

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.study.compare import compare
from clamnet_tf.study.gather import best_intensity, gather, patient_rows
from clamnet_tf.study.runner import Job
from clamnet_tf.study.tables import summary_markdown
from clamnet_tf.study.wording import control_text, fell, headline


@pytest.fixture
def filled(planned, fill_study):
    plan, folder = planned
    return plan, folder, fill_study(plan, folder)


def table_of(plan, folder):
    """Patients x seeds of each arm, read from the CSV files without the package's help."""
    found = {}
    for trial in plan.trials:
        if trial.run is not None:
            with open(folder.evaluation(trial, "test") / "patients.csv", newline="") as stream:
                found.setdefault(trial.arm.name, []).append(
                    {row["patient"]: float(row["dice"]) for row in csv.DictReader(stream) if row["dice"]}
                )
    return {
        arm: np.array([[seed[name] for seed in seeds] for name in sorted(seeds[0])])
        for arm, seeds in found.items()
    }


def test_figures_equal_an_independent_computation(filled):
    plan, folder, _ = filled
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    table = table_of(plan, folder)
    means = {arm: scores.mean(axis=1) for arm, scores in table.items()}
    p_values = {}
    for name, scores in table.items():
        row = rows[name]
        assert row.dice[0] == pytest.approx(scores.mean()) and row.seed_dice == pytest.approx(
            scores.mean(axis=0)
        )
        lowest = stats.bootstrap(
            (means[name],), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(5)
        ).confidence_interval
        assert row.dice[1:] == pytest.approx((lowest.low, lowest.high), abs=0.008)
        if name != "twins":
            assert row.difference[0] == pytest.approx((means[name] - means["twins"]).mean())
            p_values[name] = stats.permutation_test(
                (means[name] - means["twins"],),
                np.mean,
                permutation_type="samples",
                n_resamples=np.inf,
                vectorized=False,
            ).pvalue
            assert row.p == pytest.approx(p_values[name])
    for name in ("twins", "no_twin", "short"):
        assert rows[name].ratio[0] == pytest.approx(means[name].mean() / means["supervised"].mean())
        drawn = bootstrap.draws(8)
        resampled = means[name][drawn].mean(axis=1) / means["supervised"][drawn].mean(axis=1)
        assert rows[name].ratio[1:] == pytest.approx(np.quantile(resampled, [0.025, 0.975]))
    assert rows["supervised"].ratio is None and rows["twins"].difference is None


def test_holm_runs_over_all_comparisons_of_the_study(filled):
    plan, folder, _ = filled
    tested = [row for row in compare(plan.study, gather(plan, folder)) if row.p is not None]
    assert len(tested) == 6  # no_twin, short, whole_organ, supervised, head_1, shuffled
    least = min(tested, key=lambda row: row.p)
    assert least.p_holm == pytest.approx(min(1, 6 * least.p))
    assert max(row.p_holm for row in tested) >= max(row.p for row in tested)


def test_verdicts(planned, fill_study):
    plan, folder = planned
    base = np.linspace(0.4, 0.7, 8)
    shifts = {
        "no_twin": np.tile([0.1, -0.09], 4),
        "short": np.full(8, -0.2),
        "supervised": np.full(8, 0.2),
        "head_1": np.tile([-0.02, 0.0], 4),
    }
    fill_study(plan, folder, dice=lambda arm, seed, rng: base + shifts.get(arm, np.zeros(8)))
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    assert {name: rows[name].verdict for name in ("twins", "no_twin", "short", "supervised", "head_1")} == {
        "twins": "reference",
        "no_twin": "open",
        "short": "worse",
        "supervised": "better",
        "head_1": "uncertain",
    }
    assert (
        rows["head_1"].difference[2] < 0 and rows["head_1"].p_holm >= 0.05
    )  # the interval alone would have called it worse


def test_neither_marks_the_lesion(planned, fill_study):
    plan, folder = planned
    tiny = np.linspace(0.01, 0.05, 8)
    shifts = {"no_twin": 0.03, "short": -0.005, "supervised": 0.6}
    fill_study(plan, folder, dice=lambda arm, seed, rng: tiny + shifts.get(arm, 0.0))
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    assert (
        rows["no_twin"].difference[1] > 0 and rows["no_twin"].p_holm < 0.05
    )  # ahead, and shown: still nothing is marked
    assert {name: rows[name].verdict for name in ("no_twin", "short", "whole_organ", "supervised")} == {
        "no_twin": "neither",
        "short": "neither",
        "whole_organ": "neither",
        "supervised": "better",
    }
    said = " ".join(headline(plan.study, list(rows.values())))
    assert "It does not mark the lesion: a Dice score below 0.10" in said
    assert (
        "Neither the reference nor “No twin”, “Short” and “Whole organ” marks the lesion" in said
        and "does better than" not in said
    )
    assert rows["twins"].ratio[0] == pytest.approx(0.03 / 0.63)


def test_a_ceiling_that_does_not_mark_the_lesion_is_no_measure(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder, dice=lambda arm, seed, rng: np.linspace(0.01, 0.05, 8))
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    assert rows["twins"].ratio is None and "of that" not in " ".join(
        headline(plan.study, list(rows.values()))
    )


def test_where_single_slices_are_outlined_all_arms_are_compared_on_them(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder)
    for trial in plan.trials:
        if trial.run is not None:
            path = folder.evaluation(trial, "test") / "patients.csv"
            lines = list(csv.reader(path.read_text().splitlines()))
            for line in lines[1:]:
                line[4] = line[7] = ""  # no Dice of a volume, neither ours nor that of the whole organ
            with open(path, "w", newline="") as stream:
                csv.writer(stream).writerows(lines)
    results = gather(plan, folder)
    rows = {row.name: row for row in compare(plan.study, results)}
    organ = [(0.04 + 0.005 * number) / 2 for number in range(8)]
    assert {row.column for row in rows.values()} == {"dice_slice"} and rows["twins"].patients == 8
    assert rows["whole_organ"].dice[0] == pytest.approx(np.mean(organ), abs=1e-5)
    assert rows["whole_organ"].difference[0] == pytest.approx(
        np.mean(organ) - rows["twins"].dice[0], abs=1e-5
    )
    assert (
        "over a patient's outlined slices (no patient is fully outlined)"
        in headline(plan.study, list(rows.values()))[0]
    )
    assert best_intensity(results, "twins") == (1, "otsu_channel0_bright", 0.3)
    text = summary_markdown(plan.study, list(rows.values()), None)
    assert (
        "Dice of a patient's outlined slices (95 % interval)" in text
        and "Dice per patient with a lesion" not in text
    )


def test_evaluations_of_earlier_definitions_are_not_read_but_made_again(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder)
    trial = plan.of("no_twin")[0]
    path = folder.evaluation(trial, "test") / "metrics.json"
    found = json.loads(path.read_text())
    del found["definitions"]
    path.write_text(json.dumps(found))
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    assert (
        rows["no_twin"].state == "1 of 2 seeds"
        and "whose Dice counts patients without a lesion" in rows["no_twin"].messages[0]
    )
    assert (
        Job(trial.run, plan, folder, None).to_do() == "evaluate"
        and Job(plan.of("twins")[0].run, plan, folder, None).to_do() is None
    )


def test_unfinished_failed_and_foreign_budgets(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder, arms=("twins", "short", "supervised"), seeds=(0,))
    folder.fail(plan.of("no_twin")[0].run, "The disk is full.")
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    assert (
        rows["twins"].state == "1 of 2 seeds"
        and rows["no_twin"].state == "failed"
        and rows["no_twin"].messages == ["The disk is full."]
    )
    assert rows["wrong"].state == "failed" and "loss.etaa" in rows["wrong"].messages[0]
    assert rows["shuffled"].state == "missing" and rows["shuffled"].to_floor is None
    assert (
        rows["short"].other_budget
        and not rows["supervised"].other_budget
        and not rows["whole_organ"].other_budget
    )
    assert rows["short"].slices == 140 * 16


def test_arms_are_compared_on_the_seeds_that_both_have(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder)
    folder.run(plan.of("no_twin")[1].run).finished.unlink()
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    table = table_of(plan, folder)
    first, reference = table["no_twin"][:, 0], table["twins"]
    assert rows["no_twin"].state == "1 of 2 seeds" and len(rows["twins"].seed_dice) == 2
    assert rows["no_twin"].difference[0] == pytest.approx((first - reference[:, 0]).mean())
    assert rows["no_twin"].difference[0] != pytest.approx((first - reference.mean(axis=1)).mean(), abs=1e-4)
    assert rows["no_twin"].ratio[0] == pytest.approx(first.mean() / table["supervised"][:, 0].mean())
    assert rows["no_twin"].messages == [
        f"compared with {name} on the seeds that both have: 0"
        for name in ("the reference", "the supervised arm")
    ]
    assert rows["twins"].dice[0] == pytest.approx(reference.mean())
    assert rows["short"].messages == rows["whole_organ"].messages == []

    folder.run(plan.of("twins")[0].run).finished.unlink()
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    row = rows["no_twin"]
    assert row.difference[0] == pytest.approx((first - reference[:, 1]).mean())
    assert row.messages[0] == (
        "has no seed in common with the reference: the difference is that of the seeds, too"
    )


def test_a_share_of_the_ceiling_says_on_which_seeds_it_is(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder)
    table = table_of(plan, folder)
    folder.run(plan.of("supervised")[0].run).finished.unlink()
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    said = "compared with the supervised arm on the seeds that both have: 1"
    assert rows["twins"].ratio[0] == pytest.approx(
        table["twins"][:, 1].mean() / table["supervised"][:, 1].mean()
    )
    assert rows["twins"].messages == rows["twins"].ratio_seeds == [said]
    assert f" of that ({said})." in " ".join(headline(plan.study, list(rows.values())))


def test_a_control_without_a_common_seed_gets_no_verdict(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder)
    study = plan.study.model_copy(update={"floor": "no_twin"})
    results = gather(plan, folder)
    control = next(result for result in results if result.arm.name == "shuffled")
    floor = next(result for result in results if result.arm.name == "no_twin")
    assert {row.name: row for row in compare(study, results)}["shuffled"].to_floor is not None
    results[results.index(control)] = control.of_seeds({0})
    results[results.index(floor)] = floor.of_seeds({1})
    rows = {row.name: row for row in compare(study, results)}
    assert rows["shuffled"].to_floor is None and fell(rows["shuffled"]) is None
    text = control_text(rows["shuffled"], rows["no_twin"])
    assert "Not known: it has no seed in common with" in text and "fall" not in text


def test_nothing_finished_at_all(planned):
    plan, folder = planned
    rows = compare(plan.study, gather(plan, folder))
    assert all(
        row.dice is None and row.p is None and row.verdict == "" for row in rows if row.name != "twins"
    )
    assert patient_rows(gather(plan, folder)) == []


def test_patients_that_one_seed_lacks_are_left_out(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder, arms=("twins", "no_twin"))
    path = folder.evaluation(plan.of("no_twin")[0], "test") / "patients.csv"
    with open(path, newline="") as stream:
        lines = list(csv.reader(stream))
    lines[3][4] = ""  # no truth and no marks: no score
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    assert rows["no_twin"].patients == 7 and rows["twins"].patients == 8
    said = "its Dice is of 7 patients, that of the reference of 8; the difference is of the 7 that both have"
    assert rows["no_twin"].messages == [said] and rows["whole_organ"].messages == []


def test_a_baseline_that_was_not_measured_says_which_were(
    write_study, make_study, study_text, fill_study, tmp_path
):
    plan, folder = make_study(
        write_study(study_text.replace("baseline: whole_organ", "baseline: otsu")), tmp_path / "out"
    )
    fill_study(plan, folder)
    row = next(row for row in compare(plan.study, gather(plan, folder)) if row.name == "whole_organ")
    assert row.dice is None and row.messages == [
        "baseline: expected one of those that the evaluation measured (whole_organ, otsu_channel0_bright); "
        "received otsu"
    ]
