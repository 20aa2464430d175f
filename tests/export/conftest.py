"""A tiny run folder, made once: an untrained network with random norms, its recipe, and cuts as a training
would write them.
"""

import json
import warnings

import numpy as np
import pytest

SIDE = 32


def write_run(folder, *, channels=1, threshold=0.5, **sections):
    """A folder that RunFolder.open_finished takes. sections: network, data, organ, inference with settings
    that replace those of the shipped recipe.
    """
    import keras

    from clamnet_tf.networks.build import build_network
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.writer import to_yaml

    overrides = [
        *(
            "network.depth=3",
            "network.filters=[4,6,8]",
            "network.kernels=[3,3,3]",
            "self_training.rounds=0",
            f"data.side={SIDE}",
        ),
        *(
            f"{section}.{key}={value}"
            for section, settings in sections.items()
            for key, value in settings.items()
        ),
    ]
    recipe = load_recipe("mri_carcinoma", overrides)
    keras.utils.set_random_seed(5)  # the fixtures of a session come before the one that seeds a test
    model = build_network(recipe.network, side=SIDE, channels=channels)
    generator = np.random.default_rng(3)
    model.set_weights(
        [
            weight + np.abs(generator.normal(0, 0.3, weight.shape)) if weight.ndim == 1 else weight * 1.5
            for weight in model.get_weights()
        ]
    )
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras 3.15 saving under NumPy 2
        model.save(folder / "model.keras")
    (folder / "recipe.yaml").write_text(to_yaml(recipe))
    steps = {
        name: getattr(recipe.inference, name)
        for name in ("axial_smoothing", "keep_largest_component", "intensity_refinement")
    }
    row = {
        "steps": steps,
        "raw_threshold": threshold,
        "seed_threshold": 0.5,
        "background_threshold": 0.2,
        "threshold": 0.6,
    }
    markings = {
        name: {**row, "raw_threshold": threshold - 0.01 * number}
        for number, name in enumerate(("mean", *sorted(model.output)))
    }
    selection = {
        "markings": markings,
        "threshold_rule": "by hand",
        "prevalence": 0.09,
        "step": 1,
        "checkpoint_rule": "none",
        "seconds": 1.0,
        "looks": [],
    }
    (folder / "selection.json").write_text(json.dumps(selection))
    return folder


def open_source(folder, head=None):
    """(run, recipe, Source) of a run folder."""
    from clamnet_tf.export.source import source_of
    from clamnet_tf.inference.trained_model import load_trained_model
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.runs import RunFolder

    run = RunFolder.open_finished(folder)
    recipe = load_recipe(str(run.recipe))
    return source_of(run, recipe, load_trained_model(run, recipe), head)


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """The function write_run with a new folder in front."""
    return lambda **settings: write_run(tmp_path_factory.mktemp("runs") / "run", **settings)


@pytest.fixture(scope="session")
def source_of_run():
    return open_source


@pytest.fixture(scope="session")
def gray_run(make_run):
    """One channel, group norm, the mean of the heads."""
    return make_run()


@pytest.fixture(scope="session")
def gray_source(gray_run):
    return open_source(gray_run)


@pytest.fixture(scope="session")
def exported(gray_source, tmp_path_factory):
    """The SavedModel of `gray_run`: the version's folder and what was found when it was checked."""
    from clamnet_tf.export.saved_model import export_savedmodel

    return export_savedmodel(gray_source, tmp_path_factory.mktemp("models"))
