"""What pydicom (with pylibjpeg) decodes of the DICOM files in the PyPI packages.

Input: {"out": folder}. Output: a list of {path, group, kind, error, frames, rows, columns, values}, where
`values` names a file of the stored values as little-endian float64 when pydicom decodes them.
"""
import gzip
import importlib.util
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom

warnings.simplefilter("ignore")

FOLDERS = {
    "pydicom": ("pydicom", "data"),
    "pydicom-data": ("data_store", "data"),
    "nibabel": ("nibabel", ""),
    "pynetdicom": ("pynetdicom", ""),
}


def package(name):
    return Path(importlib.util.find_spec(name).origin).parent


def candidates(out):
    for group, (module, folder) in FOLDERS.items():
        for path in sorted((package(module) / folder).rglob("*")):
            if not path.is_file() or path.suffix in {".py", ".pyc", ".md", ".txt", ".json", ".zip"}:
                continue
            if path.name.endswith(".dcm.gz"):
                plain = out / path.name.removesuffix(".gz")
                plain.write_bytes(gzip.decompress(path.read_bytes()))
                yield group, plain
            elif path.stat().st_size < 1 << 30:
                yield group, path


def is_dicom(path):
    with open(path, "rb") as file:
        head = file.read(132)
    named = path.suffix.lower() in {".dcm", ".dic", ".ima"} or "dicomdirtests" in path.parts
    return head[128:] == b"DICM" or named


def main():
    out = Path(json.loads(sys.argv[1])["out"])
    answers = []
    for group, path in candidates(out):
        if not is_dicom(path):
            continue
        answer = {"path": str(path), "group": group, "kind": "no image", "error": None, "values": None}
        answers.append(answer)
        try:
            ds = pydicom.dcmread(path, force=True)
            tags = {"PixelData", "FloatPixelData", "DoubleFloatPixelData"}
            if not any(tag in ds for tag in tags):
                continue
            photometric = str(ds.get("PhotometricInterpretation", ""))
            grey = photometric.startswith("MONOCHROME") and ds.get("BitsAllocated") != 1
            answer["kind"] = "grey" if grey else "other"
            answer["syntax"] = str(getattr(ds, "file_meta", {}).get("TransferSyntaxUID", ""))
            array = ds.pixel_array
            if grey:
                target = out / f"{len(answers)}.f64"
                array.astype("<f8").tofile(target)
                answer |= {"values": str(target), "rows": int(ds.Rows), "columns": int(ds.Columns)}
                answer["frames"] = int(array.size // (ds.Rows * ds.Columns))
            else:
                answer["values"] = ""
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"[:160]
    print(json.dumps(answers))


main()
