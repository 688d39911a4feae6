"""Where other tools put the slices of a series.

Input: {"task": "folders"} answers the folders of real files;
{"task": "write", "out": folder} writes small series whose geometry is hard, and answers their folders;
{"task": "affine", "files": [...]} answers what highdicom and SimpleITK make of the files, as 4 × 4 matrices
(column, row, slice) -> LPS mm, or an error;
{"task": "frames", "file": path} answers the positions of an enhanced file and nibabel's affine.
"""
import gzip
import importlib.util
import json
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

warnings.simplefilter("ignore")


def package(name):
    return Path(importlib.util.find_spec(name).origin).parent


def folders(arguments):
    out = Path(arguments["out"])
    plain = out / "philips_mprage.dcm"
    packed = package("nibabel") / "nicom/tests/data/philips_mprage.dcm.gz"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    return {
        "dicomdirtests": str(package("pydicom") / "data/test_files/dicomdirtests"),
        "mprage": str(plain),
        "data": str(package("data_store") / "data"),
        "pydicom": str(package("pydicom") / "data/test_files"),
    }


def rotation(degrees, axis):
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    angle = math.radians(degrees)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


def slice_file(path, number, origin, row, column, series, study, seed, spacing=(0.7, 0.5), **more):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(path)])
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, study
    ds.Modality, ds.PatientID, ds.PatientName = "MR", "1", "A^B"
    ds.StudyID = ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.Manufacturer = ""
    ds.PatientBirthDate = ds.PatientSex = ds.PositionReferenceIndicator = ""
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.ImagePositionPatient = [f"{v:.9f}"[:16] for v in origin]
    ds.ImageOrientationPatient = [f"{v:.12f}"[:16] for v in (*row, *column)]
    ds.PixelSpacing, ds.SliceThickness = list(spacing), 3
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = 24, 32
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    values = np.random.default_rng(seed).integers(0, 4096, (24, 32), dtype=np.uint16)
    ds.PixelData = values.tobytes()
    for name, value in more.items():
        setattr(ds, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def write(arguments):
    out = Path(arguments["out"])
    turn = rotation(17, (1, 2, 3))
    axes = {
        "sagittal": (turn @ [0, 1, 0], turn @ [0, 0, -1]),
        "axial": (turn @ [1, 0, 0], turn @ [0, 1, 0]),
    }
    study = generate_uid(entropy_srcs=["study"])

    def series(name, slices):
        uid = generate_uid(entropy_srcs=[name])
        for k, (number, origin, row, column, seed, more) in enumerate(slices):
            slice_file(out / name / f"{number}_{k}.dcm", number, origin, row, column, uid, study, seed, **more)

    def block(plane, steps, start, numbers=None, base=(-40.0, -60.0, 30.0), tilt=0.0, more=None):
        row, column = axes[plane]
        if tilt:
            tilted = rotation(tilt, (1, 0, 0))
            row, column = tilted @ row, tilted @ column
        normal = np.cross(row, column)
        numbers = numbers or range(start, start + len(steps))
        return [(n, base + normal * d, row, column, 100 * start + k, (more or {})) for k, (n, d) in
                enumerate(zip(numbers, steps))]

    even = [3.3 * k for k in range(11)]
    series("regular_sagittal", block("sagittal", even, 1))
    series("reversed_sagittal", block("sagittal", even, 1, numbers=range(11, 0, -1)))
    series("regular_axial", block("axial", even, 1))
    series("one_missing", block("sagittal", [d for k, d in enumerate(even) if k != 4], 1))
    series("irregular", block("axial", [0, 3, 6.4, 9.1, 12, 15.6, 18], 1))
    discs = []
    for disc in range(5):
        tilt, base = -12.0 + 6 * disc, np.array([-40.0, -60.0, 80.0 - 37 * disc])
        discs += block("axial", [4.0 * k for k in range(4)], 1 + 4 * disc, base=base, tilt=tilt)
    series("five_discs", discs)
    twice = block("axial", even, 1)
    series("copied", twice + [(n + 50, *rest) for n, *rest in twice[:3]])
    series("two_echoes", block("axial", even, 1) + block("axial", even, 21))
    return {path.name: str(path) for path in out.iterdir() if path.is_dir()}


def affine_highdicom(files):
    import highdicom
    volume = highdicom.get_volume_from_series([pydicom.dcmread(f) for f in files])
    # highdicom counts (slice, row, column)
    return volume.affine[:, [2, 1, 0, 3]].tolist()


def affine_sitk(files):
    import SimpleITK as sitk
    image = sitk.ReadImage(files)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    matrix = np.eye(4)
    matrix[:3, :3] = direction * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return matrix.tolist()


def affine(arguments):
    answers = {}
    for name, tool in {"highdicom": affine_highdicom, "sitk": affine_sitk}.items():
        try:
            answers[name] = tool(arguments["files"])
        except Exception as error:
            answers[name] = f"{type(error).__name__}: {error}"[:200]
    return answers


def frames(arguments):
    from nibabel.nicom.dicomwrappers import wrapper_from_file
    ds = pydicom.dcmread(arguments["file"])
    groups = ds.PerFrameFunctionalGroupsSequence
    positions = [[float(v) for v in g.PlanePositionSequence[0].ImagePositionPatient] for g in groups]
    wrapper = wrapper_from_file(arguments["file"])
    stored = ds.pixel_array
    return {
        "positions": positions,
        "nibabel": np.asarray(wrapper.affine).tolist(),
        "sums": [int(frame.astype(np.int64).sum()) for frame in stored],
    }


def main():
    arguments = json.loads(sys.argv[1])
    tasks = {"folders": folders, "write": write, "affine": affine, "frames": frames}
    print(json.dumps(tasks[arguments["task"]](arguments)))


main()
