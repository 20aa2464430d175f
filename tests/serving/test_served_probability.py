"""The client against a real server process: the same numbers as local prediction, and errors that say what is
wrong.
"""

import dataclasses

import numpy as np
import pytest

from clamnet_tf.errors import ServerFailure, UserInputError
from clamnet_tf.export.reference import prepared_slices
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import recipe_hash
from clamnet_tf.serving.address import parse_address
from clamnet_tf.serving.served_probability import ServedProbability, connect, served_probability

WAITS = (0.05, 0.05, 0.05)


@pytest.fixture
def rest(ports):
    return f"http://127.0.0.1:{ports['rest']}/v1/models/mri_carcinoma"


@pytest.fixture
def grpc_address(ports):
    return f"grpc://127.0.0.1:{ports['grpc']}/mri_carcinoma"


@pytest.fixture
def ask(gray_source):
    """(address, ...) -> ServedProbability that expects the tiny model."""

    def client(address, most_bytes=10**7, expected=gray_source.identity, **options):
        return ServedProbability(
            connect(parse_address(address), **{"waits": WAITS, **options}),
            expected,
            side=32,
            most_bytes=most_bytes,
        )

    return client


@pytest.mark.parametrize(
    "most_bytes", [10**7, 1, 9000], ids=["one request", "one slice each", "two slices each over gRPC"]
)
def test_numbers_are_those_of_local_prediction(ask, gray_source, rest, grpc_address, most_bytes):
    images = np.float16(np.concatenate([prepared_slices(32, 1)] * 2)[:5])
    wanted = gray_source.original(images)
    for address in (rest, grpc_address):
        found = ask(address, most_bytes)(images)
        assert found.dtype == np.float32
        # slices in other company are summed in another order; the stock layers of Keras differ by far more
        # then
        np.testing.assert_allclose(found, wanted, atol=1e-5 if most_bytes == 10**7 else 3e-5)
    assert ask(rest)(images[:0]).shape == (0, 32, 32, 1)


def test_a_run_knows_what_it_expects(gray_run, gray_source, rest):
    from clamnet_tf.runs import RunFolder

    run = RunFolder.open_finished(gray_run)
    client = served_probability(
        rest,
        run=run,
        recipe_sha256=recipe_hash(load_recipe(str(run.recipe))),
        predictor=gray_source.original,
        side=32,
    )
    assert client.expected == gray_source.identity
    assert client(prepared_slices(32, 1)[:1]).shape == (1, 32, 32, 1)


def test_maps_of_several_classes_have_an_axis_and_others_are_refused(gray_source, rng):
    class Server:
        address = parse_address("http://host:8501/v1/models/name")

        def predict(self, signature, name, images, most_bytes):
            yield {"probability": maps, "identity": [gray_source.identity.text] * len(images)}

    maps, images = rng.random((3, 32, 32, 2)).astype(np.float32), prepared_slices(32, 1)
    found = ServedProbability(Server(), gray_source.identity, side=32, classes=2)(images)
    np.testing.assert_array_equal(found, maps)
    with pytest.raises(
        UserInputError,
        match=r"expected maps of 32 x 32 pixels, like those of MODEL; the model gives \(32, 32, 2\)",
    ):
        ServedProbability(Server(), gray_source.identity, side=32)(images)
    with pytest.raises(UserInputError, match="expected maps of 32 x 32 x 3 pixels"):
        ServedProbability(Server(), gray_source.identity, side=32, classes=3)(images)


def test_another_model_is_noticed(ask, gray_source, rest, grpc_address):
    other = dataclasses.replace(gray_source.identity, model="0" * 64, head="2")
    for address in (rest, grpc_address):
        with pytest.raises(
            UserInputError,
            match=r"is not that of MODEL: model [0-9a-f]{12} instead of 000000000000, head mean instead "
            r"of 2\. Give the MODEL",
        ):
            ask(address, expected=other)(prepared_slices(32, 1)[:1])


def test_an_unknown_name_and_slices_that_do_not_fit(ask, ports):
    for address in (
        f"http://127.0.0.1:{ports['rest']}/v1/models/other",
        f"grpc://127.0.0.1:{ports['grpc']}/other",
    ):
        with pytest.raises(
            UserInputError,
            match=r"the server knows no such model \(Servable not found for request: Latest\(other\)\)",
        ):
            ask(address)(prepared_slices(32, 1)[:1])
    for address in (
        f"http://127.0.0.1:{ports['rest']}/v1/models/mri_carcinoma",
        f"grpc://127.0.0.1:{ports['grpc']}/mri_carcinoma",
    ):
        with pytest.raises(UserInputError, match="the server refuses these slices"):
            ask(address)(prepared_slices(16, 2)[:1])


def test_busy_servers_are_asked_again(ask, gray_source, ports):
    images = prepared_slices(32, 1)[:1]
    for address in (
        f"http://127.0.0.1:{ports['rest']}/busy/v1/models/mri_carcinoma",
        f"http://127.0.0.1:{ports['rest']}/cuts/v1/models/mri_carcinoma",
        f"grpc://127.0.0.1:{ports['grpc']}/busy",
    ):
        np.testing.assert_allclose(ask(address)(images), gray_source.original(images), atol=1e-5)


def test_a_server_that_is_not_there(ask):
    for address in ("http://127.0.0.1:9/v1/models/x", "grpc://127.0.0.1:9/x"):
        with pytest.raises(
            ServerFailure, match=rf"{address}: no answer after 4 attempts .*Check that the server runs"
        ):
            ask(address)(prepared_slices(32, 1)[:1])


def test_a_server_that_stalls_or_talks_of_something_else(ask, ports):
    with pytest.raises(ServerFailure, match="no answer within 0.3 s"):
        ask(f"http://127.0.0.1:{ports['rest']}/stalls/v1/models/x", timeout=(1.0, 0.3))(
            prepared_slices(32, 1)[:1]
        )
    with pytest.raises(ServerFailure, match="the answer is no prediction .*'predictions'"):
        ask(f"http://127.0.0.1:{ports['rest']}/wrong/v1/models/x")(prepared_slices(32, 1)[:1])


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://host:8501/v1/models/name", "http://host:8501/v1/models/name"),
        ("https://host/behind/v1/models/name/versions/3/", "https://host/behind/v1/models/name/versions/3"),
        ("grpc://host:8500/name", None),
        ("grpc://[::1]:8500/name/versions/2", None),
    ],
)
def test_addresses(text, url):
    address = parse_address(text)
    assert address.name == "name" and (url is None or address.url == url)
    assert (address.version is not None) == ("versions" in text)


@pytest.mark.parametrize(
    "text",
    [
        "host:8501",
        "http://host:8501",
        "http://host/v1/models/",
        "http://u:p@host/v1/models/x",
        "grpc://host/name",
        "ftp://h/v1/models/x",
        "grpc://h:99999/x",
    ],
)
def test_wrong_addresses(text):
    with pytest.raises(
        UserInputError, match="--server .*expected http://HOST:8501/v1/models/NAME, or grpc://HOST:8500/NAME"
    ):
        parse_address(text)


def test_masks_of_a_volume_are_those_of_local_prediction(gray_run, rest, grpc_address, rng):
    """What `predict --server` does: another probability in the same Trained; consistency of the volume and
    marking stay on this side.
    """
    from clamnet_tf.inference.trained_model import load_trained_model
    from clamnet_tf.runs import RunFolder

    run = RunFolder.open_finished(gray_run)
    recipe = load_recipe(str(run.recipe))
    trained = load_trained_model(run, recipe)
    images = np.float16(
        np.repeat(prepared_slices(32, 1)[:1], 6, axis=0) + 0.2 * rng.normal(size=(6, 32, 32, 1))
    )
    organ = np.hypot(*(np.mgrid[:32, :32] - 15.5)) < 14
    images, organ = images * organ[..., None], np.repeat(organ[None], 6, axis=0)

    def masks(trained):
        maps = trained.volume(trained.probability(images), images, organ)
        return np.stack([trained.marking.mask(one, inside) for one, inside in zip(maps, organ)])

    wanted = masks(trained)
    assert 0.02 < wanted.mean() < 0.6
    for address in (rest, grpc_address):
        remote = served_probability(
            address,
            run=run,
            recipe_sha256=recipe_hash(recipe),
            predictor=trained.probability,
            side=recipe.data.side,
        )
        np.testing.assert_array_equal(masks(dataclasses.replace(trained, probability=remote)), wanted)
