"""Write contract.json, which tells callers without this package what an exported model takes and gives."""

import datetime
from importlib import metadata

from clamnet_tf import __version__
from clamnet_tf.export.endpoints import has_fixed_window, why_not_encoded
from clamnet_tf.export.prepare_ops import ORGANS, organ_of_pictures
from clamnet_tf.inference.attribution_result import ATTRIBUTION
from clamnet_tf.recipe.classes import by_name, named
from clamnet_tf.serving.signatures import (
    BOX,
    DEFAULT,
    ENCODED,
    ENCODED_DICOM,
    IDENTITY,
    IMAGE_BYTES,
    IMAGES,
    MASK,
    PREPARED,
    PRESENCE,
    PROBABILITY,
    map_shape,
)

_PER_VOLUME = {
    "zscore": "each channel minus its mean over its deviation inside the organ of the whole volume, clipped "
    "to -5..5",
    "percentile": "each channel's 1st to 99th percentile inside the organ of the whole volume to 0..1, "
    "clipped",
    "window": "the window to 0..1",
    "none": "values as in the file",
}


def contract(source, *, kind: str, signatures=()) -> dict:
    """Return the contract as JSON content.

    Args:
        source: export.source.Source.
        kind: "savedmodel", "litert" or "onnx".
        signatures: Names of the signatures in the file (SavedModel only).
    """
    outputs = _outputs(source)
    content = {
        "name": source.name,
        "format": kind,
        "recipe_sha256": source.identity.recipe,
        "model_sha256": source.identity.model,
        "head": source.identity.head,
        "flip_views": source.identity.flip_views,
        "made_with": {
            "clamnet-tf": __version__,
            "tensorflow": _version("tensorflow"),
            "keras": _version("keras"),
        },
        "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "threshold": {
            "value": by_name(dict(zip(source.names, source.thresholds))),
            "meaning": "of the probability of one slice without its neighbours (raw_threshold of "
            "selection.json)",
            "rule": source.rule,
        },
        "not_applied": {
            **source.left_out,
            "why": "they need whole volumes or masks; clamnet-tf predict --server applies them in the client",
        }
        if source.left_out
        else {},
        "prepared_slices": prepared_slices(source),
    }
    if kind != "savedmodel":
        return {
            **content,
            "input": {IMAGES: content["prepared_slices"]},
            "output": {PROBABILITY: outputs[PROBABILITY]},
        }
    signature_texts = {
        DEFAULT: {
            "input": {IMAGES: default_slices(source)},
            "output": {**outputs, MASK: f"{outputs[MASK]}; the organ is where any channel is not 0"},
        },
        PREPARED: {
            "input": {IMAGES: content["prepared_slices"]},
            "output": {
                PROBABILITY: outputs[PROBABILITY],
                IDENTITY: "string (batch,), which model answered: recipe, model, head",
            },
        },
    }
    box = (
        f"int32 (batch, 3): top, left and size of the square of the picture that the {source.side} x "
        f"{source.side} pixels show; it may leave the picture"
    )
    for name, files in ((ENCODED, "PNG or JPEG"), (ENCODED_DICOM, "DICOM (one frame)")):
        signature_texts[name] = {
            "input": {IMAGE_BYTES: encoded_pictures(source, files)},
            "output": {**outputs, BOX: box},
        }
    content["signatures"] = {name: signature_texts[name] for name in signature_texts if name in signatures}
    reason = why_not_encoded(source)
    return content if reason is None else {**content, "no_encoded_signature": reason}


def _outputs(source) -> dict[str, str]:
    """Return the outputs in words: name -> form and meaning."""
    names = named(source.names)
    shape = ", ".join(map(str, ("batch", *map_shape(source.side, len(source.thresholds)))))
    numbered = ", ".join(f"{class_number} {name}" for class_number, name in enumerate(names, start=1))
    probability, marked, score_source = "P(lesion)", "1 where probability >= threshold", "the probability"
    if source.identity.head == ATTRIBUTION:
        probability = (
            "P(abnormal) of the slice times the classifiers' evidence at the pixel as a share of its highest "
            "value in the slice,"
        )
    if names:
        probability, score_source = f"of each class ({', '.join(names)})", "the highest probability"
        marked = (
            f"the number of the class ({numbered}) that is furthest above its threshold, in log-odds, or 0 "
            f"where none is,"
        )
    return {
        PROBABILITY: f"float32 ({shape}), {probability} in 0..1 per pixel",
        MASK: f"uint8 (batch, {source.side}, {source.side}), {marked} inside the organ",
        PRESENCE: f"float32 (batch,), 0..1: the generalised mean of power {source.pooling_power:g} of "
        f"{score_source} over the organ; 0 without one",
    }


def prepared_slices(source) -> str:
    """Describe in words what `PREPARED` takes."""
    data = source.data
    window_text = (
        f"window of width {data.window.width:g} around {data.window.center:g} first (8-bit pictures show it "
        f"already: 0 to 255 there); "
        if data.window is not None
        else ""
    )
    atlas = (
        "; the last channel is the deviation from normal slices, see clamnet_tf.preprocessing.normal_atlas"
        if data.normal_atlas
        else ""
    )
    return (
        f"float32 (batch, {source.side}, {source.side}, {source.channels}): slices as "
        f"clamnet_tf.preprocessing.prepared_volume.prepare_volume makes them{atlas}. "
        f"{window_text}{_PER_VOLUME[data.normalization]}; {_outside(source.organ)} ({source.organ.method}); "
        f"cropped to the square around the volume's organ, "
        f"margin {source.organ.margin:g}; bilinear, antialiased, to {source.side} pixels"
    )


def default_slices(source) -> str:
    """Describe in words what `DEFAULT` takes."""
    if not has_fixed_window(source.data):
        return prepared_slices(source)
    blank = source.organ.surroundings == "blank"
    outside_text = (
        "Outside the organ, values must lie below the window (0 after it)"
        if blank
        else "Outside the organ, the image is kept"
    )
    return (
        f"float32 (batch, {source.side}, {source.side}, {source.channels}): slices in the unit of the "
        f"files, cropped to the square around the organ and resized; the window is applied here (shades of "
        f"8-bit pictures, which show it already, must be mapped onto it before). {outside_text}"
    )


def _outside(organ) -> str:
    """Describe the image outside the organ."""
    return "0 outside the organ" if organ.surroundings == "blank" else "the image is kept outside the organ"


def encoded_pictures(source, files: str) -> str:
    """Describe in words what `ENCODED` takes."""
    organ = organ_of_pictures(source.organ)
    fallback = (
        ""
        if organ == source.organ
        else f", which replaces organ.method {source.organ.method}, because that cannot be part of a graph"
    )
    dicom_text = ""
    if files.startswith("DICOM"):
        dicom_text = (
            "; neither are VOI LUT, window, shutter and padding of the file, which clamnet-tf predict "
            "applies to X-rays: send those as pictures"
        )
    wanted = (
        f"the channels {list(source.data.channels)} are used"
        if source.data.channels is not None
        else f"exactly {source.channels} channel(s)"
    )
    return (
        f"string (batch,): complete {files} files of any size; {wanted}. Each is a volume of one slice: its "
        f"organ is {ORGANS.get(organ.method)}{fallback}, "
        f"and statistics are taken inside it, in this slice alone. Where the slices of a whole volume are "
        f"available, prepare them together and call {PREPARED}: statistics and crop are then those of the "
        f"volume, as in training. EXIF orientation is not "
        f"applied{dicom_text}"
    )


def _version(name: str) -> str:
    """Return the installed version of a package, or "unknown"."""
    for distribution in (name, f"{name}-cpu"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
