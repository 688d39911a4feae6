"""A folder in the competition's layout from real MR files of the packages pydicom and pydicom-data, with tables
written for them, and what pydicom reads in it.

Input: {"out": folder}; answers, for each file and one mark on it, the slice's position, the mark's position in
patient mm and the value of its pixel.
"""
import importlib.util
import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom

warnings.simplefilter("ignore")
CONDITIONS = [
    "spinal_canal_stenosis",
    "left_neural_foraminal_narrowing",
    "right_neural_foraminal_narrowing",
    "left_subarticular_stenosis",
    "right_subarticular_stenosis",
]
LEVELS = ["l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1"]
MARKED = {
    "Sagittal T2/STIR": "Spinal Canal Stenosis",
    "Sagittal T1": "Left Neural Foraminal Narrowing",
    "Axial T2": "Right Subarticular Stenosis",
}


def package(name):
    return Path(importlib.util.find_spec(name).origin).parent


pilots = package("pydicom") / "data/test_files/dicomdirtests/98892003"
files = package("pydicom") / "data/test_files"
more = package("data_store") / "data"
SERIES = {
    (98892003, 700, "Sagittal T2/STIR"): sorted((pilots / "MR700").iterdir()),
    (98892003, 2, "Axial T2"): [pilots / "MR2" / name for name in ("4950", "4981", "5011")],
    (98892003, 1, "Sagittal T1"): [pilots / "MR1/4919"],
    (4, 41, "Sagittal T1"): [files / "MR_small_RLE.dcm"],
    (4, 42, "Sagittal T2/STIR"): [more / "MR2_J2KR.dcm"],
    (4, 43, "Axial T2"): [more / "MR-SIEMENS-DICOM-WithOverlays.dcm"],
}


def main():
    out = Path(json.loads(sys.argv[1])["out"])
    series_rows, points, found = [], [], []
    for (study, series, description), sources in SERIES.items():
        series_rows.append(f"{study},{series},{description}")
        for place, source in enumerate(sources):
            ds = pydicom.dcmread(source)
            instance = int(ds.InstanceNumber)
            target = out / "train_images" / str(study) / str(series) / f"{instance}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
            x, y = ds.Columns // 2 + 1, ds.Rows // 2 - 1
            if place < 5:
                level = ("L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1")[place]
                points.append(f"{study},{series},{instance},{MARKED[description]},{level},{x}.0,{y}.0")
            origin = np.array(ds.ImagePositionPatient, float)
            # written with six digits, the cosines are not quite of unit length and not quite perpendicular
            axes = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
            axes[0] /= np.linalg.norm(axes[0])
            axes[1] -= axes[0] * (axes[0] @ axes[1])
            axes[1] /= np.linalg.norm(axes[1])
            row_mm, column_mm = map(float, ds.PixelSpacing)
            mark = origin + axes[0] * column_mm * x + axes[1] * row_mm * y
            value = float(ds.pixel_array[y, x]) * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))
            found.append({"study": study, "series": series, "instance": instance, "origin": origin.tolist(),
                          "mark_px": [x, y], "mark_mm": mark.tolist(), "value": value})
    columns = [f"{condition}_{level}" for condition in CONDITIONS for level in LEVELS]
    studies = sorted({study for study, _, _ in SERIES})
    labels = [f"{study}," + ",".join(["Normal/Mild"] * 24 + ["Severe"]) for study in studies]
    (out / "train.csv").write_text("\n".join(["study_id," + ",".join(columns), *labels]) + "\n")
    heads = {
        "train_series_descriptions.csv": ("study_id,series_id,series_description", series_rows),
        "train_label_coordinates.csv": ("study_id,series_id,instance_number,condition,level,x,y", points),
    }
    for name, (head, rows) in heads.items():
        (out / name).write_text("\n".join([head, *rows]) + "\n")
    print(json.dumps(found))


main()
