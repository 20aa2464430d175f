"""The consistency of volumes without a network: it finds a bright body, prefers the heaviest, and needs no
mask.
"""

import json

import numpy as np
import pytest

from clamnet_tf.evaluation.baselines.consistent import consistent_baselines
from clamnet_tf.evaluation.baselines.serialization import fitted, restored
from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig

STEPS = PostprocessingConfig(axial_smoothing=0.7, keep_largest_component=0.3, intensity_refinement=0.5)
SIDE, SLICES = 48, 9


def volume(rng, place, flicker):
    """(images (9, 48, 48, 2), organ, abnormal, truth): a body bright in channel 1 and dark in channel 0, and
    a spot as bright in one slice.
    """
    rows, columns = np.mgrid[:SIDE, :SIDE]
    organ = np.repeat(((rows - 24) ** 2 + (columns - 24) ** 2 < 20**2)[None], SLICES, axis=0).astype(np.uint8)
    truth = np.zeros(organ.shape, bool)
    truth[2:6] = (rows - place[0]) ** 2 + (columns - place[1]) ** 2 < 6**2
    images = rng.normal(0, 0.3, (*organ.shape, 2)).astype(np.float32)
    images[..., 1] += 3.0 * truth
    images[..., 0] -= 3.0 * truth
    images[7, flicker[0] : flicker[0] + 3, flicker[1] : flicker[1] + 3, 1] += 3.0
    return images * organ[..., None], organ, truth.any(axis=(1, 2)), truth


@pytest.fixture
def volumes(rng):
    return [
        volume(rng, place, flicker)
        for place, flicker in (((18, 20), (30, 30)), ((30, 28), (14, 18)), ((20, 30), (30, 16)))
    ]


def dice(marked, truth):
    return 2 * (marked & truth).sum() / (marked.sum() + truth.sum())


def test_the_body_is_found_and_the_lone_spot_is_left_out(volumes):
    prevalence = np.mean([truth[abnormal].mean() / organ[0].mean() for _, organ, abnormal, truth in volumes])
    methods = consistent_baselines([one[:3] for one in volumes], STEPS, prevalence)
    assert list(methods) == [
        f"consistent_channel{channel}_{side}" for channel in (0, 1) for side in ("bright", "dark")
    ]
    for images, organ, _, truth in volumes:
        for name in ("consistent_channel1_bright", "consistent_channel0_dark"):
            marked = methods[name](images, organ)
            assert (
                marked.dtype == bool
                and dice(marked, truth) > 0.85
                and not marked[7].any()
                and not (marked & (organ == 0)).any()
            )
        assert dice(methods["consistent_channel1_dark"](images, organ), truth) < 0.3


def test_kept_as_json_they_mark_the_same(volumes):
    methods = consistent_baselines([one[:3] for one in volumes], STEPS, 0.1)
    again = restored(json.loads(json.dumps(fitted(methods), allow_nan=False)))
    for name, method in methods.items():
        np.testing.assert_array_equal(again[name](*volumes[0][:2]), method(*volumes[0][:2]))


def test_scale_and_level_of_a_channel_do_not_matter(volumes):
    seen = [one[:3] for one in volumes]
    methods = consistent_baselines(seen, STEPS, 0.1)
    other = consistent_baselines(
        [(8 * images + 64 * organ[..., None], organ, abnormal) for images, organ, abnormal in seen],
        STEPS,
        0.1,
    )
    images, organ, _ = seen[1]
    for name in ("consistent_channel1_bright", "consistent_channel0_dark"):
        ours, theirs = methods[name](images, organ), other[name](8 * images + 64 * organ[..., None], organ)
        assert dice(ours, theirs) > 0.97


def test_without_steps_there_are_none_and_the_last_channel_may_be_the_deviation(volumes):
    seen = [one[:3] for one in volumes]
    assert (
        consistent_baselines(seen, PostprocessingConfig(), 0.1) == {} == consistent_baselines([], STEPS, 0.1)
    )
    assert "consistent_deviation_bright" in consistent_baselines(seen, STEPS, 0.1, atlas=True)
