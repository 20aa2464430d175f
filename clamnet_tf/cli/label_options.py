"""Define the options that say where labels are and what their words mean, for every command that reads
labels.
"""

import functools

import rich_click as click


def label_options(function):
    """Add --labels, --normal and --abnormal; the command receives them as one LabelSource called `labels`."""

    @click.option(
        "--labels",
        type=click.Path(),
        help="Table of labels (CSV or Excel), when it is not found in the data folder itself.",
    )
    @click.option(
        "--normal",
        multiple=True,
        metavar="WORD",
        help="A label word or class folder that means normal; may be repeated.",
    )
    @click.option(
        "--abnormal",
        multiple=True,
        metavar="WORD",
        help="A label word or class folder that means a finding; may be repeated.",
    )
    @functools.wraps(function)
    def with_source(*arguments, labels, normal, abnormal, **options):
        from pathlib import Path

        from clamnet_tf.datasets.layouts.label_words import LabelSource, LabelWords

        source = LabelSource(Path(labels) if labels else None, LabelWords(normal, abnormal))
        return function(*arguments, labels=source, **options)

    return with_source
