"""Find out which compressed DICOM images can be decoded, and by which packages."""

from clamnet_tf.diagnostics.finding import Finding
from clamnet_tf.diagnostics.packages import install_extra

SECTION = "DICOM"
# DICOM PS3.6 Annex A: the transfer syntaxes of still images, by short name; each row is checked as one.
SYNTAXES = {
    "uncompressed": ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"),
    "deflated": ("1.2.840.10008.1.2.1.99",),
    "RLE": ("1.2.840.10008.1.2.5",),
    "JPEG": ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"),
    "JPEG lossless": ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"),
    "JPEG-LS": ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"),
    "JPEG 2000": ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"),
    "HTJ2K": ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"),
}


def examine_decoders() -> list[Finding]:
    """Return one finding per row of SYNTAXES, with the decoders that support every syntax of the row."""
    try:
        from pydicom.pixels import get_decoder
    except ImportError as error:
        return [
            Finding(
                SECTION, "pydicom", "broken", str(error), "python -m pip install --force-reinstall pydicom"
            )
        ]
    findings = []
    for name, syntaxes in SYNTAXES.items():
        decoders = [get_decoder(syntax) for syntax in syntaxes]
        if all(decoder.is_native for decoder in decoders):
            findings.append(Finding(SECTION, name, "ok", "pydicom"))
            continue
        shared = set.intersection(*(set(decoder.available_plugins) for decoder in decoders))
        if shared:
            findings.append(Finding(SECTION, name, "ok", ", ".join(sorted(shared))))
        else:
            findings.append(Finding(SECTION, name, "missing", "no decoder", install_extra("dicom")))
    return findings
