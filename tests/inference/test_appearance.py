"""What training images look like: distances against scipy, what is noticed and what is not, the file."""

import contextlib
import zipfile

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from clamnet_tf.errors import RunError
from clamnet_tf.inference.appearance import INVERTED, AppearanceModel
from clamnet_tf.preprocessing.thumbnails import MOST_SLICES, SIDE, thumbnails

ROWS, COLUMNS = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)


def chest(rng, channels=1):
    """A picture with an up, a left and a bright part, which differs from patient to patient."""
    x, y, width = (
        0.5 + 0.05 * rng.standard_normal(),
        0.35 + 0.04 * rng.standard_normal(),
        rng.uniform(0.2, 0.3),
    )
    image = 0.8 * np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / (2 * width**2)) + 0.15 * ROWS
    image += 0.02 * rng.standard_normal(image.shape)
    return np.clip(np.repeat(image[None, ..., None], channels, axis=-1), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(1)
    return AppearanceModel.fit([chest(rng) for _ in range(60)], [str(index) for index in range(60)])


def test_distances_are_those_of_a_normal_distribution(trained):
    """Of probabilistic principal component analysis: covariance W W' + noise I."""
    rng = np.random.default_rng(2)
    principal = trained.components.T
    covariance = principal @ np.diag(trained.variances - trained.noise) @ principal.T
    covariance += trained.noise * np.eye(SIDE**2)
    normal = multivariate_normal(trained.mean, covariance)
    constant = normal.logpdf(trained.mean)
    for _ in range(3):
        image = chest(rng)
        expected = -2 * (normal.logpdf(image.reshape(-1)) - constant)
        assert trained.assess(image).distance * trained.limits[0] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(trained.components @ principal, np.eye(len(principal.T)), atol=1e-9)


def test_components_explain_what_the_training_images_vary_in():
    rng = np.random.default_rng(3)
    directions = np.linalg.qr(rng.standard_normal((SIDE**2, 2)))[0].T
    weights = rng.standard_normal((200, 2)) * (3.0, 1.0)
    flat = 0.5 + weights @ directions + 0.01 * rng.standard_normal((200, SIDE**2))
    model = AppearanceModel.fit(
        list(flat.reshape(-1, 1, SIDE, SIDE, 1)), [str(index) for index in range(200)]
    )
    np.testing.assert_allclose(np.abs(model.components[:2] @ directions.T), np.eye(2), atol=0.05)
    np.testing.assert_allclose(model.variances[:2], weights.var(axis=0, ddof=1), rtol=0.02)
    assert 0.8e-4 < model.noise < 1e-4, "16 components take the largest part of it"


def test_new_images_of_the_same_kind_are_not_called_unlike(trained):
    rng = np.random.default_rng(4)
    found = [trained.assess(chest(rng)) for _ in range(200)]
    assert np.mean([each.distance > 1 for each in found]) <= 0.02
    assert not any(each.stored for each in found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda image: image[:, ::-1], "upside down"),
        (lambda image: image[:, ::-1, ::-1], "upside down"),
        (lambda image: np.rot90(image, 1, (1, 2)), "lying on its side"),
        (lambda image: np.rot90(image, 3, (1, 2)), "lying on its side"),
        (lambda image: image.transpose(0, 2, 1, 3), "lying on its side"),
        (lambda image: 1 - image, INVERTED),
    ],
)
def test_turned_and_inverted_images_are_noticed(trained, change, said):
    rng = np.random.default_rng(5)
    found = [trained.assess(change(chest(rng))).stored for _ in range(50)]
    assert found.count(said) >= 45


def test_another_kind_of_image_is_unlike_and_not_called_turned(trained):
    rng = np.random.default_rng(6)
    found = [
        trained.assess((((8 * ROWS + 5 * COLUMNS + phase) % 1) > 0.5).astype(np.float32)[None, ..., None])
        for phase in rng.random(20)
    ]
    assert all(each.distance > 1 and each.stored is None for each in found)


def test_what_stays_unlike_when_it_is_inverted_is_not_called_inverted(trained):
    rng = np.random.default_rng(15)
    checkers = ((4 * ROWS).astype(int) + (4 * COLUMNS).astype(int)) % 2
    image = 1 - (0.8 * chest(rng) + 0.1 * checkers[None, ..., None].astype(np.float32))
    own, other = trained.assess(image), trained.assess(1 - image)
    assert own.distance > 2 * other.distance and other.distance > 1
    assert own.stored is None


def test_images_that_lie_in_every_way_are_not_called_turned():
    """As fractures of hands and feet: where training images lie in every way, nothing is said."""
    rng = np.random.default_rng(7)
    images = [np.rot90(chest(rng), index % 4, (1, 2)) for index in range(80)]
    model = AppearanceModel.fit(images, [str(index) for index in range(80)])
    assert [model.assess(np.rot90(chest(rng), turn, (1, 2))).stored for turn in range(4)] == [None] * 4


def test_a_volume_is_judged_by_the_median_of_its_slices(trained):
    rng = np.random.default_rng(8)
    usual, odd = chest(rng), (ROWS * COLUMNS > 0.2).astype(np.float32)[None, ..., None]
    volume = np.concatenate([usual, odd, usual, odd, usual])
    assert trained.assess(volume).distance * trained.limits[1] == pytest.approx(
        trained.assess(usual).distance * trained.limits[0]
    )


def test_the_folds_of_the_limits_hold_whole_patients():
    """Two equal pictures of one patient would otherwise vouch for one another."""
    rng = np.random.default_rng(9)
    images = [chest(rng) for _ in range(30)]
    twice = AppearanceModel.fit([*images, *images], [str(index % 30) for index in range(60)])
    apart = AppearanceModel.fit([*images, *images], [str(index) for index in range(60)])
    assert twice.limits[0] > 1.5 * apart.limits[0]


def test_few_patients_say_nothing(trained):
    rng = np.random.default_rng(10)
    images = [chest(rng) for _ in range(40)]
    assert AppearanceModel.fit(images, [str(index % 9) for index in range(40)]) is None
    assert AppearanceModel.fit(images, [str(index % 10) for index in range(40)]) is not None
    assert trained.assess(np.empty((0, SIDE, SIDE, 1), np.float32)) is None
    with pytest.raises(ValueError, match=r"expected \(n, 32, 32, 1\); received \(1, 32, 32, 2\)"):
        trained.assess(chest(rng, 2))


def test_images_that_are_all_alike():
    same = [np.full((1, SIDE, SIDE, 1), 0.5, np.float32)] * 12
    model = AppearanceModel.fit(same, [str(index) for index in range(12)])
    assert model.assess(same[0]).distance < 1 < model.assess(0.5 * same[0]).distance


def test_the_file_keeps_the_model(trained, tmp_path):
    trained.save(tmp_path / "appearance.npz")
    again = AppearanceModel.load(tmp_path / "appearance.npz")
    rng = np.random.default_rng(11)
    for _ in range(5):
        image = chest(rng)
        assert again.assess(image).distance == pytest.approx(trained.assess(image).distance, rel=1e-4)
    assert (again.turned, again.inverted, again.limits) == (trained.turned, trained.inverted, trained.limits)
    assert (tmp_path / "appearance.npz").stat().st_size < 100_000


def changed(path, **arrays):
    with np.load(path) as content:
        kept = {name: content[name] for name in content.files}
    np.savez(path, **(kept | arrays))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:2000]),
        lambda path: path.write_text("not an archive"),
        lambda path: np.savez(path, mean=np.zeros(1024)),
        lambda path: changed(path, rules=np.array([[np.nan, 1], [2, 2], [2, 2]])),
        lambda path: changed(path, rules=np.zeros((3, 2))),
        lambda path: changed(path, noise=np.float64(0)),
        lambda path: changed(path, variances=-np.ones(15)),
        lambda path: changed(path, components=np.zeros((15, 1023))),
        lambda path: changed(path, mean=np.zeros((1024, 1))),
        lambda path: changed(path, mean=np.zeros(1024, complex)),
        lambda path: changed(path, mean=np.zeros(4_000_000)),
    ],
)
def test_damaged_files_are_refused(trained, tmp_path, damage):
    path = tmp_path / "appearance.npz"
    trained.save(path)
    damage(path)
    with pytest.raises(
        RunError, match=r"appearance\.npz: expected what training images look like.*remove it"
    ):
        AppearanceModel.load(path)


def test_files_that_grow_beyond_all_bounds_are_not_opened(trained, tmp_path):
    changed_path = tmp_path / "appearance.npz"
    np.savez_compressed(changed_path, **dict.fromkeys(("components", "noise", "rules"), np.zeros(1)))
    with zipfile.ZipFile(changed_path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name in ("mean", "variances"):
            archive.writestr(f"{name}.npy", bytes(15_000_000))
    with pytest.raises(RunError, match="arrays of 3[0-9]{7} bytes"):
        AppearanceModel.load(changed_path)


def test_flipped_bytes_are_refused_or_harmless(trained, tmp_path):
    path, rng = tmp_path / "appearance.npz", np.random.default_rng(13)
    trained.save(path)
    whole = path.read_bytes()
    for _ in range(300):
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        with contextlib.suppress(RunError):
            AppearanceModel.load(path)


def test_single_slices_have_rules_of_their_own():
    """The last slice of a volume may look like others upside down; volumes as a whole do not."""
    rng = np.random.default_rng(14)

    def volume():
        return np.concatenate([chest(rng) for _ in range(7)] + [chest(rng)[:, ::-1]])

    model = AppearanceModel.fit([volume() for _ in range(40)], [str(index) for index in range(40)])
    assert model.turned[0] > model.turned[1]
    singles = [each[index : index + 1] for each in [volume() for _ in range(20)] for index in range(8)]
    assert np.mean([model.assess(single).stored is not None for single in singles]) <= 0.03
    four = np.repeat(singles[0], 4, axis=0)  # a volume with the same median
    assert model.assess(singles[0]).distance * model.limits[0] == pytest.approx(
        model.assess(four).distance * model.limits[1]
    )


def test_thumbnails_of_a_volume():
    rng = np.random.default_rng(12)
    rows, columns = np.mgrid[0:64, 0:96] / 64
    waves = np.sin(6 * rows * rng.random((20, 1, 1)) + 5 * columns)
    volume = np.stack([waves, waves**2], axis=-1) * 300 - 100
    small = thumbnails(volume)
    assert small.shape == (MOST_SLICES, SIDE, SIDE, 2) and small.dtype == np.float32
    assert small.min() >= 0 and small.max() <= 1
    np.testing.assert_allclose(thumbnails(5 * volume + 7), small, atol=1e-5)
    spot = volume.copy()
    spot[:, 5, 5] = 1e6  # one pixel, like a letter burnt in
    assert np.abs(thumbnails(spot) - small).max(axis=(0, 3))[8:].max() < 0.02
    larger = np.repeat(np.repeat(volume, 2, axis=1), 2, axis=2)
    assert np.abs(thumbnails(larger) - small).max() < 0.02
    for index, number in ((0, 0), (3, 8), (7, 19)):  # evenly spaced, the ends among them
        low, high = np.percentile(volume[number, ..., 1], [1, 99])
        means = (
            np.clip((volume[number, ..., 1] - low) / (high - low), 0, 1).reshape(32, 2, 32, 3).mean((1, 3))
        )
        np.testing.assert_allclose(small[index, ..., 1], means, atol=0.05)


def test_blank_slices_are_left_out():
    volume = np.zeros((5, 40, 40, 1), np.float32)
    volume[2, 10:20, 5:30] = 3
    volume[3] = 7
    assert len(thumbnails(volume)) == 1 and len(thumbnails(volume[:2])) == 0
    spot = np.zeros((1, 100, 100, 1))
    spot[0, 50, 50] = 1  # less than 1 % of the pixels
    assert len(thumbnails(spot)) == 1
