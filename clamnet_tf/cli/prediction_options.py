"""Define the options that `predict` and `listen` share: formats, engine, other modalities."""

import rich_click as click

FORMATS = ("png", "nifti", "dicom-seg", "dicom-sr", "dicom-sc", "overlay", "report")
SENT = ("dicom-seg", "dicom-sr", "dicom-sc", "report")  # what is written when results are sent
DEFAULT = "report, overlay, and nifti for NIfTI, png for all others"


def _parse_formats(context, parameter, values) -> tuple[str, ...]:
    """Parse --format, which may be repeated and may name several formats, separated by commas."""
    names = dict.fromkeys(
        name.strip().lower() for value in values for name in value.split(",") if name.strip()
    )
    for name in names:
        if name not in FORMATS:
            raise click.BadParameter(
                f"expected {', '.join(FORMATS)}, or several of them separated by commas; received {name!r}.",
                context,
                parameter,
            )
    if "dicom-sr" in names and "dicom-seg" not in names:
        raise click.BadParameter(
            "expected dicom-seg beside dicom-sr, since the report refers to segments.", context, parameter
        )
    return tuple(name for name in FORMATS if name in names)


def format_option(help: str):
    """Return the option --format, which the command receives as a tuple of names called `formats`."""
    return click.option(
        "--format", "formats", metavar="FORMAT,...", multiple=True, callback=_parse_formats, help=help
    )


any_modality_option = click.option(
    "--any-modality",
    is_flag=True,
    help="Accept images of another modality than the model's, or not in Hounsfield units.  [default: "
    "refused]",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "tensorflow", "onnxruntime"]),
    default="auto",
    show_default=True,
    help="What computes the networks; auto: ONNX Runtime where it is installed and the model has a model.onnx"
    ", else TensorFlow.",
)
