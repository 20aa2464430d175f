"""Rules of data.contralateral, the comparison with the other breast (rule.py says what a rule is)."""

from clamnet_tf.recipe.rule import Finding, rule

_PLACE = ("data", "contralateral")


@rule(
    "data.contralateral",
    "network.pretrained",
    "self_training.network.pretrained",
    "self_training.rounds",
)
def contralateral_is_compared(contralateral, pretrained, taught, rounds):
    compares = bool(pretrained and pretrained.get("comparison"))
    if contralateral and not compares:
        yield Finding(
            _PLACE,
            "false, since nothing compares the two breasts",
            "true",
            "set network.pretrained.comparison to true",
        )
    if compares and not contralateral:
        yield Finding(
            ("network", "pretrained", "comparison"),
            "false, since the channels hold one image alone",
            "true",
            "set data.contralateral to true",
        )
    if rounds and taught and taught.get("comparison"):
        yield Finding(
            ("self_training", "network", "pretrained", "comparison"),
            "false, since a network of self-training compares nothing",
            "true",
        )


@rule("data.contralateral", "modality", "organ.method")
def contralateral_is_of_breasts(contralateral, modality, method):
    if contralateral and (modality != "xray" or method not in ("breast", "given")):
        yield Finding(
            _PLACE,
            "false, since only mammograms have another breast (modality xray with organ.method breast or "
            "given)",
            f"true with modality {modality} and organ.method {method}",
        )


@rule("data.contralateral", "data.normal_atlas", "data.sequences", "data.labels", "data.cohort")
def contralateral_is_the_only_addition(contralateral, atlas, sequences, labels, cohort):
    if not contralateral:
        return
    for key, value, needed in (
        ("normal_atlas", atlas, None),
        ("sequences", sequences, None),
        ("labels", labels, "slice"),
        ("cohort", cohort, None),
    ):
        if value != needed:
            expected = "null" if needed is None else needed
            received = "a section" if needed is None else str(value)
            yield Finding(("data", key), f"{expected}, with data.contralateral", received)


@rule(
    "data.contralateral",
    "self_training.rounds",
    "pairs.augmentation.channel_loss",
    "pairs.augmentation.rand_augment",
)
def contralateral_stays_in_its_channels(contralateral, rounds, channel_loss, rand_augment):
    if not contralateral:
        return
    if rounds:
        expected = "0 with data.contralateral, since a network of self-training compares nothing"
        yield Finding(("self_training", "rounds"), expected, str(rounds))
    for key, value in (("channel_loss", channel_loss), ("rand_augment", rand_augment)):
        if value:
            expected = "0 with data.contralateral, since it would mix the two breasts"
            yield Finding(("pairs", "augmentation", key), expected, str(value))


@rule("network.pretrained")
def comparison_is_of_frozen_features(pretrained):
    if pretrained and pretrained.get("comparison"):
        blocks, frozen = pretrained.get("blocks", 11), pretrained.get("frozen_blocks", 11)
        if frozen < blocks:
            yield Finding(
                ("network", "pretrained", "frozen_blocks"),
                f"{blocks}, all blocks, since both breasts are seen by the same weights",
                str(frozen),
            )
