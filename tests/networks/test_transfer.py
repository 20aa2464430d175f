"""Weights for another network: what is kept is exactly kept, what is adapted gives the numbers it promises,
the rest is said.
"""

import keras
import numpy as np
import pytest

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.classifier import build_classifier
from clamnet_tf.networks.transfer import transfer_text, transfer_weights
from clamnet_tf.recipe.schema import NetworkSection

SIDE = 16


def network(channels=3, seed=1, **options):
    """A network with random weights, biases and norms too, since zeros and ones would hide mistakes."""
    filters = options.pop("filters", [4, 6, 8][: options.get("depth", 3)])
    section = NetworkSection(
        **{"depth": 3, "filters": filters, "kernels": [3] * len(filters), "norm": "group", **options}
    )
    made, rng = build_network(section, side=SIDE, channels=channels), np.random.default_rng(seed)
    made.set_weights([rng.normal(0.1, 0.5, weights.shape) for weights in made.get_weights()])
    return made


def call(made, images):
    return {
        name: np.asarray(value) for name, value in made(images.astype(np.float32), training=False).items()
    }


def same(one, two, names=None):
    for name in names or one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-6)


def outcomes(rows):
    return {row.layer: row.outcome for row in rows}


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, SIDE, SIDE, 3))


@pytest.fixture
def flat(rng):
    """One channel, to be repeated."""
    return rng.normal(size=(2, SIDE, SIDE, 1))


@pytest.mark.parametrize("norm", ["group", "batch", "none"])
def test_the_same_network_gives_the_same(images, norm):
    source, target = network(norm=norm), network(seed=2, norm=norm)
    rows = transfer_weights(source, target)
    assert set(outcomes(rows).values()) == {"reused"}
    same(call(source, images), call(target, images))
    assert transfer_text(rows) == [
        f"{len(rows)} layers with weights: {len(rows)} reused ({target.count_params()} parameters), 0 "
        f"adapted (0 parameters), 0 new (0 parameters)"
    ]


@pytest.mark.parametrize(("before", "after"), [(3, 1), (3, 5), (1, 3), (4, 2)])
def test_other_channels_give_the_same_on_channels_that_are_alike(flat, before, after):
    source, target = network(before), network(after, seed=2)
    rows = transfer_weights(source, target)
    assert outcomes(rows).pop("x_0_0_conv_1") == "adapted" and sorted(outcomes(rows).values()) == [
        "adapted"
    ] + ["reused"] * (len(rows) - 1)
    same(call(source, np.repeat(flat, before, -1)), call(target, np.repeat(flat, after, -1)))
    assert (
        f"{before} input channels became {after}: their mean kernel, scaled by {before}/{after}"
        in transfer_text(rows)[1]
    )


def test_more_classes_leave_the_background_as_it_was(images):
    source, target = network(), network(seed=2, classes=4)
    rows = transfer_weights(source, target)
    before, after = call(source, images), call(target, images)
    for head in before:
        np.testing.assert_allclose(after[head][..., 0], before[head][..., 0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            after[head][..., 1:], np.repeat(before[head][..., 1:] / 3, 3, -1), rtol=1e-4, atol=1e-6
        )
    assert transfer_text(rows)[1:] == [
        "adapted: head_1_logits, head_2_logits: 2 classes became 4 classes, all lesion classes alike"
    ]


@pytest.mark.parametrize(("before", "after"), [("softmax", "sigmoid"), ("sigmoid", "softmax")])
def test_softmax_and_sigmoid_become_one_another(images, before, after):
    source, target = network(output=before), network(seed=2, output=after)
    transfer_weights(source, target)
    one, two = call(source, images), call(target, images)
    for head in one:
        np.testing.assert_allclose(one[head][..., -1], two[head][..., -1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3)])
def test_networks_of_other_depth_share_their_heads(images, before, after):
    source, target = network(depth=before), network(seed=2, depth=after)
    rows = transfer_weights(source, target)
    same(call(source, images), call(target, images), ["head_1"])
    new = {row.layer for row in rows if row.outcome == "new"}
    deeper = {
        layer.name
        for layer in target.layers
        if layer.weights and layer.name.startswith(("x_2_0", "x_1_1", "x_0_2", "head_2"))
    }
    assert new == deeper and bool(new) == (after > before)


def test_a_classifier_starts_from_the_first_column(images):
    source = network()
    target = build_classifier(
        NetworkSection(depth=3, filters=[4, 6, 8], kernels=[3, 3, 3], norm="group"), side=SIDE, channels=3
    )
    rows = transfer_weights(source, target)
    assert [row.layer for row in rows if row.outcome == "new"] == ["classifier_logits"]
    inner = [
        keras.Model(each.input, each.get_layer("x_2_0").output)(images.astype(np.float32))
        for each in (source, target)
    ]
    np.testing.assert_allclose(*inner, rtol=1e-4, atol=1e-6)


def test_kernels_pass_between_networks_with_and_without_norms():
    source, target = network(norm="group"), network(seed=2, norm="none")
    bias = target.get_layer("x_1_0_conv_1").get_weights()[1]
    rows = transfer_weights(source, target)
    np.testing.assert_array_equal(
        target.get_layer("x_1_0_conv_1").get_weights()[0], source.get_layer("x_1_0_conv_1").get_weights()[0]
    )
    np.testing.assert_array_equal(target.get_layer("x_1_0_conv_1").get_weights()[1], bias)
    assert "kernel alone, since one of the networks has norms and the other has none" in "\n".join(
        transfer_text(rows)
    )
    back = transfer_weights(network(norm="none"), network(seed=2, norm="group"))
    assert (
        outcomes(back)["x_0_0_conv_2"] == "adapted"
        and outcomes(back)["x_0_0_norm_2"] == "new"
        and outcomes(back)["x_0_1_up"] == "reused"
    )


@pytest.mark.parametrize(
    ("options", "layer", "note"),
    [
        ({"kernels": [3, 5, 3]}, "x_1_0_conv_2", "kernel 3 x 3 x 6 x 6 in the weights, 5 x 5 x 6 x 6 here"),
        ({"filters": [4, 5, 8]}, "x_1_0_conv_1", "kernel 3 x 3 x 4 x 6 in the weights, 3 x 3 x 4 x 5 here"),
        ({"down": "pool"}, "x_1_0_conv_2", "another kind of layer in the weights"),
        ({"norm": "batch"}, "x_0_0_norm_1", "another kind of layer in the weights"),
        ({"duplicate": {"levels": [1], "count": 1, "seed": 0}}, "x_1_0_conv_3", "not in the weights"),
        ({"skips": "plain"}, "x_0_2_conv_1", "kernel 3 x 3 x 12 x 4 in the weights, 3 x 3 x 8 x 4 here"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_new_and_left_alone(options, layer, note):
    target = network(seed=2, **options)
    before = target.get_layer(layer).get_weights()
    rows = {row.layer: row for row in transfer_weights(network(), target)}
    assert (rows[layer].outcome, rows[layer].note) == ("new", note)
    for one, two in zip(before, target.get_layer(layer).get_weights()):
        np.testing.assert_array_equal(one, two)
    assert rows["x_0_0_conv_1"].outcome == "reused"


def test_heads_of_several_classes_are_not_guessed():
    rows = outcomes(transfer_weights(network(classes=3), network(seed=2, classes=4)))
    assert rows["head_1_logits"] == "new" and rows["x_0_1_conv_1"] == "reused"


def test_nothing_in_common_is_refused_and_nothing_is_changed():
    target = network(seed=2, filters=[5, 7, 9])
    before = target.get_weights()
    with pytest.raises(
        NetworkError,
        match=r"shares no convolution with the weights of unet_plus_plus_d3 \(x_0_0_conv_1: kernel 3 x 3 x "
        r"3 x 4 in the weights, 3 x 3 x 3 x 5 here",
    ):
        transfer_weights(network(), target)
    for one, two in zip(before, target.get_weights()):
        np.testing.assert_array_equal(one, two)
