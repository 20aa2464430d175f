import re

import pytest

from clamnet_tf.recipe.rules import RULES
from clamnet_tf.recipe.rules_network import head_numbers

SMALL_ROUND = [
    "self_training.rounds=1",
    "self_training.network.depth=2",
    "self_training.network.filters=[2, 2]",
    "self_training.network.kernels=[3, 3]",
]
ATLAS = ["data.normal_atlas.smoothing=1.0"]
TWO = ["classes=[{name: one}, {name: two, prevalence: 0.2}]", "network.classes=3"]
ALONE = ["twin.kind=none", "loss.consistency.weight=0", "loss.contrast.weight=0"]
PRETRAINED = [
    "network.pretrained.blocks=5",
    "network.pretrained.frozen_blocks=5",
    "network.depth=5",
    "network.filters=[16, 32, 64, 128, 256]",
    "network.kernels=[3, 3, 5, 5, 7]",
    "network.output=sigmoid",
]
BY_ATTRIBUTION = ["self_training.teacher=attribution", *SMALL_ROUND]
SEEN = "attribution.least_score=0.5"  # makes the section

# rule: overrides of the small recipe (depth 3, side 32) that it refuses, where, and what it says
WRONG = {
    "sequences_once": (
        ["data.sequences=[{name: FLAIR}, {name: T2}, {name: flair}]"],
        "data.sequences[2].name",
        "expected each sequence once, received flair again",
    ),
    "sequences_are_recognised": (
        ["data.sequences=[{name: FLAIR}, {name: ADC}]"],
        "data.sequences[1].name",
        "expected a standard name .*, or patterns in match or files, received ADC without patterns",
    ),
    "sequence_patterns_are_valid": (
        ["data.sequences=[{name: FLAIR}, {name: T2, match: {SeriesDescription: 't2('}}]"],
        "data.sequences[1].match.SeriesDescription",
        "expected a regular expression, received 't2",
    ),
    "registration_has_sequences": (
        ["data.registration=rigid"],
        "data.registration",
        "expected none, since only the sequences of data.sequences are registered, received rigid",
    ),
    "cohort_has_such_patients": (
        ["data.cohort.kind=bone_xray", "data.cohort.slices=2", "data.cohort.healthy=0.5"],
        "data.cohort.healthy",
        "expected 0, since half of the patients .*received 0.5",
    ),
    "study_labels_weigh_slices": (
        ["data.labels=study", "loss.objective=non_negative", *ALONE],
        "loss.objective",
        "expected hybrid, since only it weighs the slices of an abnormal study.*received non_negative",
    ),
    "side_halves": (
        ["data.side=50"],
        "data.side",
        "expected a multiple of 4, halved 2 times by network.depth 3, received 50; nearest: 48 or 52",
    ),
    "filters_per_level": (
        ["network.filters=[2, 2]"],
        "network.filters",
        "expected 3 entries, .*received 2: .*for example .2, 2, 2.",
    ),
    "kernels_per_level": (
        ["network.kernels=[3, 3, 3, 3]"],
        "network.kernels",
        "expected 3 entries, .*received 4",
    ),
    "kernels_odd": (
        ["network.kernels=[3, 4, 3]"],
        "network.kernels[1]",
        "expected an odd number, received 4; nearest: 3 or 5",
    ),
    "duplicate_levels": (
        ["network.duplicate.levels=[0, 3]"],
        "network.duplicate.levels[1]",
        "expected a level from 0 to 2, .*received 3",
    ),
    "duplicate_count": (
        ["network.duplicate.levels=random", "network.duplicate.count=4"],
        "network.duplicate.count",
        "expected at most the 3 levels",
    ),
    "pretrained_stands_alone": (
        [*PRETRAINED, "network.norm=batch"],
        "network.norm",
        "expected left out, .*batch",
    ),
    "pretrained_sees_its_units": (
        [*PRETRAINED, "data.normalization=none"],
        "data.normalization",
        "expected zscore, .*received none",
    ),
    "backbone_sees_its_units": (
        [*BY_ATTRIBUTION, "attribution.classifier.backbone=efficientnet_lite0", "data.normalization=none"],
        "data.normalization",
        "expected zscore, .*received none",
    ),
    "pretrained_has_one_map": (
        [*PRETRAINED, *ALONE, "loss.objective=classification"],
        "loss.objective",
        "expected an objective of maps, .*received classification",
    ),
    "pretrained_has_one_head": (
        [*PRETRAINED, "inference.head=2"],
        "inference.head",
        "expected mean or 1, .*received 2",
    ),
    "sigmoid_classes": (
        ["network.output=sigmoid", *TWO],
        "network.output",
        "expected softmax, .*received sigmoid with network.classes 3",
    ),
    "network_classes": (
        ["network.classes=3"],
        "network.classes",
        "expected 2: background and one lesion class, since classes is null, received 3",
    ),
    "classes_once": (
        ["classes=[{name: one}, {name: one}]", "network.classes=3"],
        "classes[1].name",
        "expected each class once, received one again",
    ),
    "classifiers_have_one_class": (
        [*TWO, "loss.objective=classification", *ALONE],
        "loss.objective",
        "expected an objective of maps, .*received classification",
    ),
    "classes_have_their_own_share": (
        [*TWO, "self_training.foreground_fraction=0.1"],
        "self_training.foreground_fraction",
        "expected null, since every class .*received 0.1",
    ),
    "classes_keep_holes": (
        [*TWO, "inference.fill_holes=true"],
        "inference.fill_holes",
        "expected false, since a hole of one class may be another",
    ),
    "window_given": (
        ["data.normalization=window"],
        "data.window",
        "expected a window .center, width., .*received nothing .null.",
    ),
    "organ_network_given": (
        ["organ.method=network"],
        "organ.network",
        "expected a zoo entry or a run folder, .*received nothing .null.",
    ),
    "cohort_has_such_images": (
        ["data.cohort.kind=bone_xray"],
        "data.cohort.slices",
        "expected 1 or 2, the views of data.cohort.kind bone_xray, received",
    ),
    "channels_once": (
        ["data.channels=[1, 0, 1]"],
        "data.channels[2]",
        "expected each channel once, received 1 again",
    ),
    "split_whole": (
        ["data.split.train=0.5"],
        "data.split",
        "fractions train . val . test that make 1, received 0.5 . 0.15 . 0.25 = 0.9",
    ),
    "split_trains": (
        ["data.split.train=0", "data.split.test=0.85"],
        "data.split.train",
        "expected a fraction above 0, received 0",
    ),
    "split_selects": (
        ["data.split.val=0", "data.split.test=0.4"],
        "data.split.val",
        "expected a fraction above 0 .*or set selection.checkpoint: last",
    ),
    "ordered": (
        ["pairs.augmentation.zoom=[1.1, 0.9]"],
        "pairs.augmentation.zoom",
        r"expected a range .low, high., received .1.1, 0.9.; write .0.9, 1.1.",
    ),
    "twin_agrees": (
        ["loss.consistency.weight=0"],
        "loss.consistency.weight",
        "expected a number above 0, .*twin.kind shared, received 0",
    ),
    "head_weights_fit": (
        ["loss.head_weights=[1, 1, 1]"],
        "loss.head_weights",
        "expected 2 weights, one per head of network.depth 3, received 3",
    ),
    "head_exists": (
        ["inference.head=3"],
        "inference.head",
        "expected mean, 1 or 2, the heads of network.depth 3, received 3",
    ),
    "head_trained": (
        ["loss.head_weights=[1, 0]", "inference.head=2"],
        "inference.head",
        "expected a head that loss.head_weights trains, received 2",
    ),
    "batch_halves": (
        ["training.batch_size=7"],
        "training.batch_size",
        "expected an even number, .*received 7; nearest: 6 or 8",
    ),
    "warmup_ends": (
        ["training.optimizer.warmup_steps=300"],
        "training.optimizer.warmup_steps",
        "expected fewer than the 300 of training.steps, received 300",
    ),
    "pseudo_labels_part": (
        [*SMALL_ROUND, "self_training.background_fraction=0.95"],
        "self_training.background_fraction",
        "expected at most 0.94, since the highest 0.06 of the organ is taken as lesion, received 0.95",
    ),
    "atlas_that_teaches": (
        ["self_training.teacher=normal_atlas", *SMALL_ROUND[1:], *ATLAS],
        "self_training.rounds",
        "expected 1 or more, since .*trains no first network, received 0",
    ),
    "teacher_without_first_network": (
        ["self_training.teacher=normal_atlas", *SMALL_ROUND, *ATLAS, "loss.objective=non_negative", *ALONE],
        "self_training.teacher",
        "expected first_network, since loss.objective non_negative is what the first network learns, "
        "received normal_atlas",
    ),
    "attribution_that_teaches": (
        ["self_training.teacher=first_network", SEEN, *SMALL_ROUND],
        "attribution",
        "expected null, since self_training.teacher first_network does not use it, received a section",
    ),
    "attribution_that_is_the_result": (
        ["self_training.teacher=attribution", SEEN, *SMALL_ROUND[1:], "inference.head=1"],
        "inference.head",
        "expected mean, since with self_training.rounds 0 the attribution of classifiers is the result, "
        "which is one map, received 1",
    ),
    "attribution_of_one_class": (
        [
            *BY_ATTRIBUTION,
            SEEN,
            *TWO,
            "self_training.network.classes=3",
            "self_training.background_fraction=0.7",
        ],
        "classes",
        "expected null, since attributions are taken from a classifier of abnormal against normal slices, "
        "received 2 classes",
    ),
    "classifier_fits_the_side": (
        [*BY_ATTRIBUTION, SEEN, "attribution.classifier.blocks=[1, 2]"],
        "attribution.classifier.blocks",
        r"expected 3 entries, one per level of attribution.classifier.filters, received 2: \[1, 2\]",
    ),
    "classifier_trains_as_it_says": (
        [*BY_ATTRIBUTION, "attribution.classifier.augmentation.zoom=[1.1, 0.9]"],
        "attribution.classifier.augmentation.zoom",
        r"expected a range .low, high., received .1.1, 0.9.; write .0.9, 1.1.",
    ),
    "attribution_marks_a_part": (
        [*BY_ATTRIBUTION, "attribution.share=0.6"],
        "attribution.share",
        "expected at most 0.5, since surroundings must be left to compare with, received 0.6",
    ),
    "self_training_from_labels": (
        ["self_training.rounds=1", "training.supervision=masks"],
        "self_training.rounds",
        "expected 0, .*received 1",
    ),
    "objective_is_minimised": (
        ["loss.objective=multiple_instance", "training.supervision=masks", *ALONE],
        "loss.objective",
        "expected hybrid, since .*received multiple_instance",
    ),
    "masked_patients_teach": (
        ["training.masked_patients=3"],
        "training.masked_patients",
        "expected null, since training.supervision labels reads no mask, received 3",
    ),
    "mixing_is_used": (
        ["training.masked_share=0.5"],
        "training.masked_share",
        "expected left out, since training.supervision labels mixes nothing, received 0.5",
    ),
    "both_kinds_fit_a_batch": (
        ["training.supervision=mixed", "training.batch_size=2"],
        "training.batch_size",
        "expected at least 4, since training.supervision mixed .*received 2",
    ),
    "teacher_is_chosen_without_masks": (
        [
            "training.supervision=mixed",
            "self_training.teacher=auto",
            "self_training.rounds=1",
            "attribution.share=0.1",
        ],
        "self_training.teacher",
        "expected the name of a teacher, since auto chooses one without masks.*received auto",
    ),
    "baselines_have_no_twin": (
        ["loss.objective=non_negative", "loss.contrast.weight=0"],
        "twin.kind",
        "expected none, since loss.objective non_negative .*received shared",
    ),
    "baselines_have_no_contrast": (
        ["loss.objective=multiple_instance", *ALONE[:2]],
        "loss.contrast.weight",
        "expected 0, .*received 0.5",
    ),
    "classifiers_have_no_heads": (
        ["loss.objective=classification", *ALONE, "loss.head_weights=[1, 1]"],
        "loss.head_weights",
        "expected null, .*received .1, 1.",
    ),
    "classifiers_have_one_map": (
        ["loss.objective=classification", *ALONE, "inference.head=1"],
        "inference.head",
        "expected mean, .*one activation map, received 1",
    ),
    "level_of_the_map_exists": (
        ["loss.objective=classification", *ALONE, "inference.activation_map.level=3"],
        "inference.activation_map.level",
        "expected a level from 0 to 2, .*received 3; null takes",
    ),
    "shuffled_labels_are_learned_from": (
        ["training.shuffle_labels=true", "training.supervision=masks"],
        "training.shuffle_labels",
        "expected false, .*received true",
    ),
    "served_views_repeat": (
        ["runtime.data_service=grpc://host:5050", "pairs.augmentation.rand_augment=0.1"],
        "runtime.data_service",
        "expected null, .*received grpc://host:5050",
    ),
    "decay_applies": (
        ["training.optimizer.weight_decay=0.1"],
        "training.optimizer.weight_decay",
        "expected 0, since adam has no weight decay",
    ),
}


def test_every_rule_has_a_case():
    assert {rule.check.__name__ for rule in RULES} == set(WRONG)


@pytest.mark.parametrize("name", WRONG)
def test_a_rule_refuses(problems_of, small_text, name):
    overrides, path, message = WRONG[name]
    [line] = problems_of(small_text, *overrides)
    assert re.search(message, line), line
    assert f"{path}: expected" in line


@pytest.mark.parametrize(
    ("overrides", "path", "message"),
    [
        (
            ["twin.kind=none"],
            "loss.consistency.weight",
            "expected 0, since twin.kind none has no second view to agree with, received 0.5 (the default)",
        ),
        (
            ["twin.kind=ema", "loss.consistency.weight=0"],
            "loss.consistency.weight",
            "expected a number above 0",
        ),
        (
            ["twin.kind=separate", "loss.consistency.weight=0"],
            "loss.consistency.weight",
            "expected a number above 0",
        ),
        (
            ["network.duplicate.levels=[1, 1]"],
            "network.duplicate.levels[1]",
            "expected each level once, received 1 again",
        ),
        (
            ["organ.network=lungs"],
            "organ.network",
            "expected null, since organ.method foreground uses no network, received lungs; or set "
            "organ.method: network",
        ),
        (
            ["data.cohort.slices=3"],
            "data.cohort.slices",
            "expected at least 4, the slices of data.cohort.kind brain_mri, received 3",
        ),
        (
            ["data.channels=[]"],
            "data.channels",
            "expected at least one channel, received []; write null to keep all",
        ),
        (
            ["loss.head_weights=[0, 0]"],
            "loss.head_weights",
            "expected at least one weight above 0, received [0, 0]",
        ),
        (
            ["network.skips=plain", "inference.head=1"],
            "inference.head",
            "expected mean or 2, the heads of network.depth 3 with network.skips plain",
        ),
        (
            ["network.skips=plain", "loss.head_weights=[1, 1]"],
            "loss.head_weights",
            "expected 1 weight, one per head of network.depth 3 with network.skips plain",
        ),
        (TWO[:1], "network.classes", "expected 3: background and 2 lesion classes, received 2"),
        (
            [
                *TWO,
                "self_training.rounds=1",
                "self_training.network.depth=2",
                "self_training.network.filters=[2, 2]",
                "self_training.network.kernels=[3, 3]",
                "self_training.background_fraction=0.5",
            ],
            "self_training.network.classes",
            "expected 3: background and 2 lesion classes, received 2",
        ),
        (
            [
                *TWO,
                "self_training.rounds=1",
                "self_training.network.depth=2",
                "self_training.network.filters=[2, 2]",
                "self_training.network.kernels=[3, 3]",
                "self_training.network.classes=3",
            ],
            "self_training.background_fraction",
            "expected at most 0.8, since the highest 0.2 of the organ is taken as lesion, received 0.86",
        ),
        (
            BY_ATTRIBUTION,
            "attribution",
            "expected a section, since self_training.teacher attribution learns by it, received null",
        ),
        (
            ["self_training.teacher=attribution", SEEN, *SMALL_ROUND[1:], "training.supervision=mixed"],
            "training.supervision",
            "expected labels, since with self_training.rounds 0 the attribution of classifiers is the "
            "result, and they learn no masks, received mixed",
        ),
        (
            [SEEN],
            "attribution",
            "expected null, since self_training.teacher first_network does not use it, received a section",
        ),
        (
            [*BY_ATTRIBUTION, SEEN, "data.side=36", "attribution.classifier.stem_stride=2"],
            "data.side",
            "expected a multiple of 8, halved 3 times by attribution.classifier, received 36",
        ),
        (
            [
                *BY_ATTRIBUTION,
                "attribution.classifier.optimizer.name=adam",
                "attribution.classifier.optimizer.weight_decay=0.1",
            ],
            "attribution.classifier.optimizer.weight_decay",
            "expected 0, since adam has no weight decay, received 0.1",
        ),
        (
            [*BY_ATTRIBUTION, "attribution.classifier.optimizer.warmup_steps=400"],
            "attribution.classifier.optimizer.warmup_steps",
            "expected fewer than the 400 of attribution.classifier.steps, received 400",
        ),
        (
            [*BY_ATTRIBUTION, "attribution.classifier.filters=[]", "attribution.classifier.blocks=[]"],
            "attribution.classifier.filters",
            "expected at least one level, received []",
        ),
        (
            [
                *BY_ATTRIBUTION,
                "attribution.classifier.augmentation.rand_augment=0.1",
                "runtime.data_service=grpc://host:5050",
            ],
            "attribution.classifier.augmentation.rand_augment",
            "expected 0, since draws of rand_augment do not repeat in runtime.data_service, received 0.1",
        ),
        (
            [*BY_ATTRIBUTION, SEEN, "attribution.classifier.backbone=efficientnet_lite0", "data.side=48"],
            "data.side",
            "expected a multiple of 32, halved 5 times by attribution.classifier.backbone "
            "efficientnet_lite0, received 48",
        ),
        (
            [
                *BY_ATTRIBUTION,
                SEEN,
                "attribution.classifier.backbone=efficientnet_lite0",
                "attribution.classifier.norm=none",
            ],
            "attribution.classifier.norm",
            "expected left out, since attribution.classifier.backbone efficientnet_lite0 has levels of its "
            "own, received none",
        ),
        (
            [*BY_ATTRIBUTION, "attribution.classifier.batch_size=7"],
            "attribution.classifier.batch_size",
            "expected an even number, half abnormal and half normal slices, received 7",
        ),
        (
            [*BY_ATTRIBUTION, "attribution.method=occlusion", "attribution.windows=[7, 32]"],
            "attribution.windows",
            "expected one or more windows smaller than data.side 32, received [7, 32]",
        ),
        (
            [*BY_ATTRIBUTION, "attribution.method=occlusion", "attribution.windows=[]"],
            "attribution.windows",
            "expected one or more windows smaller than data.side 32, received []",
        ),
        (
            [*BY_ATTRIBUTION, "attribution.refinement.methods=[]"],
            "attribution.refinement.methods",
            "expected at least one method; none keeps the marked share, received []",
        ),
        (
            [*BY_ATTRIBUTION, SEEN, "selection.prevalence=0.55", "self_training.background_fraction=0.3"],
            "attribution.share",
            "expected at most 0.5",
        ),
        (
            ["data.side=17"],
            "data.side",
            "expected a multiple of 4, halved 2 times by network.depth 3, received 17; nearest: 16 or 20",
        ),
        (["pairs.augmentation.blur=[1, 0.9]"], "pairs.augmentation.blur", "expected a range"),
        (["pairs.augmentation.stretch=[1, 0.9]"], "pairs.augmentation.stretch", "expected a range"),
    ],
)
def test_more_of_what_rules_refuse(problems_of, small_text, overrides, path, message):
    [line] = problems_of(small_text, *overrides)
    assert f"{path}: {message}" in line or f"--set {path}: {message}" in line


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.side=36"],
        [*BY_ATTRIBUTION, SEEN],
        [
            *BY_ATTRIBUTION,
            "attribution.method=occlusion",
            "attribution.windows=[31]",
            "attribution.classifier.stem_stride=2",
        ],
        [*BY_ATTRIBUTION, "attribution.windows=[64]"],
        ["network.norm=batch"],
        ["network.kernels=[1, 3, 7]"],
        ["network.duplicate.levels=random", "network.duplicate.count=3"],
        ["network.duplicate.levels=[2, 0]", "network.duplicate.count=7"],
        ["network.output=sigmoid"],
        TWO,
        ["data.normalization=window", "data.window.center=40", "data.window.width=80"],
        ["data.channels=[2, 0]"],
        ["data.split.train=0.7", "data.split.val=0.2", "data.split.test=0.1"],
        ["data.split.val=0", "data.split.test=0.4", "selection.checkpoint=last"],
        ["pairs.augmentation.blur=[0.9, 0.9]"],
        ["twin.kind=none", "loss.consistency.weight=0"],
        ["loss.objective=non_negative", *ALONE],
        [
            "loss.objective=classification",
            *ALONE,
            "inference.activation_map.level=2",
            "inference.activation_map.method=layer_cam",
        ],
        [
            "loss.objective=multiple_instance",
            *ALONE,
            "loss.head_weights=[1, 0]",
            "training.shuffle_labels=true",
            "training.patients=3",
        ],
        ["loss.head_weights=[0, 1]", "inference.head=2"],
        ["network.skips=plain", "inference.head=2", "loss.head_weights=[1]"],
        [
            "network.depth=1",
            "network.filters=[4]",
            "network.kernels=[3]",
            "inference.head=1",
            "loss.head_weights=[1]",
            "data.side=33",
        ],
        ["training.batch_size=7", "training.supervision=masks"],
        ["training.supervision=masks", "training.masked_patients=3", "training.patients=3"],
        ["training.supervision=mixed", "training.masked_share=0.5", "loss.mixed.mask_weight=2"],
        ["training.optimizer.warmup_steps=299"],
        ["training.optimizer.weight_decay=0.1", "training.optimizer.name=adamw"],
    ],
    ids=" ".join,
)
def test_rules_let_pass(problems_of, small_text, overrides):
    assert problems_of(small_text, *overrides) == []


def test_independent_rules_are_reported_together(problems_of, small_text):
    overrides = ["network.depth=4", "data.side=36", "training.batch_size=3", "inference.head=4"]
    lines = problems_of(small_text, *overrides)
    assert [line.split(": expected")[0] for line in lines] == [
        "r.yaml:8: network.filters",
        "r.yaml:9: network.kernels",
        "--set data.side",
        "--set training.batch_size",
        "--set inference.head",
    ]


def test_rules_are_silent_about_what_only_follows(problems_of, small_text):
    lines = problems_of(small_text, "network.depth=0", "data.side=50", "network.filters=[2]")
    assert [line.split(": expected")[0] for line in lines] == ["--set network.depth"]


@pytest.mark.parametrize(
    ("depth", "skips", "heads"),
    [
        (1, "nested", [1]),
        (1, "plain", [1]),
        (2, "nested", [1]),
        (5, "nested", [1, 2, 3, 4]),
        (5, "plain", [4]),
    ],
)
def test_head_numbers(depth, skips, heads):
    assert head_numbers(depth, skips) == heads


def test_an_atlas_that_is_not_there_cannot_teach(problems_of, small_text):
    [line] = problems_of(small_text, "self_training.teacher=normal_atlas", *SMALL_ROUND)
    assert (
        "data.normal_atlas: expected a section, since self_training.teacher normal_atlas takes its marks "
        "from it, received null" in line
    )


def test_the_network_of_self_training_is_checked_when_it_is_used(problems_of, small_text):
    wrong = [
        "self_training.network.kernels=[3, 4, 3]",
        "self_training.network.depth=3",
        "self_training.network.filters=[2, 2, 2]",
    ]
    assert problems_of(small_text, *wrong) == []
    [line] = problems_of(small_text, *wrong, "self_training.rounds=1")
    assert "self_training.network.kernels[1]: expected an odd number, received 4" in line


@pytest.mark.parametrize(
    ("override", "path", "message"),
    [
        ("network.pretrained.frozen_blocks=6", "network.pretrained.frozen_blocks", "expected at most the 5"),
        ("network.output=softmax", "network.output", "expected sigmoid, .*received softmax"),
        ("loss.head_weights=[1, 1, 1, 1]", "loss.head_weights", "expected null, .*one head"),
    ],
)
def test_a_pretrained_encoder_is_asked_for_more(problems_of, small_text, override, path, message):
    own = [one for one in PRETRAINED if one.split("=")[0] != path]
    [line] = problems_of(small_text, *own, override)
    assert re.search(message, line) and f"{path}: expected" in line


def test_a_side_that_the_encoder_does_not_divide(problems_of, small_text):
    own = [one for one in PRETRAINED if "blocks" not in one] + [
        "network.pretrained.blocks=16",
        "data.side=48",
    ]
    [line] = problems_of(small_text, *own)
    assert (
        "data.side: expected a multiple of 32, the stride of network.pretrained.blocks 16, received 48"
        in line
    )
