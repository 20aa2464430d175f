"""Radiographs are called images, in sentences and in what a page shows."""

import pytest

from clamnet_tf.reporting.image_words import in_words_of, page_in_words_of


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("12 outlined slices; slice AUROC 0.71", "12 outlined images; image AUROC 0.71"),
        ("A slice counts once, a slice score twice.", "An image counts once, an image score twice."),
        ("Slices without a lesion: 3 slices.", "Images without a lesion: 3 images."),
        (
            "Results: /data/slices/a.png, slices.csv, slice_1",
            "Results: /data/slices/a.png, slices.csv, slice_1",
        ),
        ("sliced, sub-slice", "sliced, sub-slice"),
    ],
)
def test_sentences(sentence, expected):
    assert in_words_of("xray", sentence) == expected
    assert in_words_of("ct", sentence) == sentence


def test_tags_and_scripts_of_a_page_stay():
    kept = '<script>const slices = "a slice" < 3;</script><style>.slice{}</style>'
    page = f'<p id="slices">a slice</p>{kept}slices'
    assert page_in_words_of("xray", page) == f'<p id="slices">an image</p>{kept}images'
    assert page_in_words_of("mri", page) == page
