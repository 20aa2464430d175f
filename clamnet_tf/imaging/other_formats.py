"""Formats that are recognised but not read: their names, and how to convert them to one that is read."""

_PICTURE = "Convert it to PNG, for example with ImageMagick: `magick IN OUT.png`"
_UNPACK = "Unpack it and name the folder"
# kind: (words, what to do)
OTHER_FORMATS = {
    "analyze": (
        "an Analyze 7.5 volume (.hdr/.img), which does not say where left and right are",
        (
            "Convert it to NIfTI with a tool that knows: `fslchfiletype NIFTI_GZ IN`, or export it again as"
            " NIfTI or DICOM"
        ),
    ),
    "minc": ("a MINC volume", "Convert it to NIfTI: `mnc2nii IN.mnc OUT.nii`"),
    "parrec": ("a Philips PAR/REC volume", "Convert it to NIfTI: `dcm2niix` or `parrec2nii IN.PAR`"),
    "vtk": ("a VTK data set", "Open it in 3D Slicer and save it as NRRD or NIfTI"),
    "envi": ("text, as of an ENVI header,", "Export the image again as NIfTI, NRRD or TIFF"),
    "matlab": ("a MATLAB file", "Save the array as .npy: `numpy.save(OUT, scipy.io.loadmat(IN)[NAME])`"),
    "hdf5": ("an HDF5 file", "Export the image as NIfTI, or the array as .npy"),
    "jpeg2000": ("a JPEG 2000 picture", "Convert it to PNG: `opj_decompress -i IN -o OUT.png`"),
    "jpegxl": ("a JPEG XL picture", "Convert it to PNG: `djxl IN OUT.png`"),
    "gif": ("a GIF picture", _PICTURE),
    "bmp": ("a BMP picture", _PICTURE),
    "webp": ("a WebP picture", _PICTURE),
    "heic": ("a HEIC or AVIF picture", _PICTURE),
    "photoshop": ("a Photoshop picture", _PICTURE),
    "video": ("a video", "Save its frames as PNG: `ffmpeg -i IN frame_%04d.png`"),
    "pdf": ("a PDF document", "Export the image itself from the program that made the document"),
    "npz": ("several NumPy arrays (.npz)", "Save the image as .npy: `numpy.save(OUT, numpy.load(IN)[NAME])`"),
    "zip": ("a zip archive", _UNPACK),
    "7z": ("a 7z archive", _UNPACK),
    "rar": ("a RAR archive", _UNPACK),
    "tar": ("a tar archive", _UNPACK),
    "gzip": ("gzip-compressed data", "Unpack it: `gunzip IN`"),
    "bzip2": ("bzip2-compressed data", "Unpack it: `bunzip2 IN`"),
    "xz": ("xz-compressed data", "Unpack it: `unxz IN`"),
    "zstd": ("zstd-compressed data", "Unpack it: `unzstd IN`"),
    "office": ("an office document of the old kind, or one with a password", "Export the image itself"),
}
VOLUMES = ("analyze", "minc", "parrec", "vtk")  # kinds that are always images of patients
PICTURES = ("jpeg2000", "jpegxl", "gif", "bmp", "webp", "heic", "photoshop")
ARCHIVES = ("zip", "7z", "rar", "tar", "gzip", "bzip2", "xz", "zstd")
# suffix -> kind, where the first bytes alone do not identify the format
BY_SUFFIX = {
    ".mnc": "minc",
    ".rec": "parrec",
    ".par": "parrec",
    ".vtk": "vtk",
    ".vti": "vtk",
    ".mat": "matlab",
}


def advice(kind: str) -> str:
    """Return what to do with a file of a kind that is not read."""
    return (
        f"{OTHER_FORMATS[kind][1]}."
        if kind in OTHER_FORMATS
        else "Export the image again, or leave the file out."
    )
