"""The recipe's section `data.sequences`: which series or files of a study are the channels of an image."""

from typing import Annotated

from pydantic import Field, model_serializer

from clamnet_tf.recipe.section import Section, without

Pattern = Annotated[str, Field(min_length=1, max_length=400)]
# YAML has lists and no tuples: the pair itself is lenient about that, its two entries stay strict.
Interval = Annotated[tuple[float, float], Field(strict=False)]


class SequenceSection(Section):
    """One channel of an image that is stored as several series or files."""

    name: Annotated[str, Field(min_length=1, max_length=60)] = Field(
        description="Name of the sequence, as messages say it and as the column image_NAME of a manifest. A "
        "standard name (pre-contrast T1, post-contrast T1, FLAIR, T2) has usual patterns, which match and "
        "files replace."
    )
    match: dict[str, Pattern | Interval | bool] | None = Field(
        None,
        description="What the header of a DICOM series must hold, per field: a regular expression that is "
        "searched in its text, or the two ends of a range of its number (EchoTime: [80, 160]). All fields "
        "must agree; a field that is absent is an empty text. The further field contrast is true or false: "
        "whether description or contrast agent say that contrast was given. null: the usual ones of the "
        "name.",
    )
    files: list[Pattern] | None = Field(
        None,
        description="Regular expressions that are searched in the name of a volume file without its suffix, "
        "such as _flair$ or _0001$. What is left of the name when the match is taken out is the name of the "
        "study. null: the usual ones of the name.",
    )
    reference: bool = Field(
        False,
        description="Whether the others are resampled onto this sequence, whose grid the marks have. At most "
        "one is; none: pairs.augmentation.main_channel where channel_loss is above 0, else the first.",
    )

    @model_serializer(mode="wrap")
    def _without_usual_values(self, handler):
        return without(handler(self), match=None, files=None, reference=False)
