"""Reads every file and table of a phantom with pydicom and tells what is in it.

Argument: {"folder": ...}. Answer: tag sets, file meta, counts of decoded files, the largest distances between the
truth's projections and those computed from the files, odd things found in the files by study and series, warnings.
"""

import csv
import json
import sys
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pydicom

folder = Path(json.loads(sys.argv[1])["folder"])


def rows(path):
    with open(folder / path, newline="") as file:
        return list(csv.DictReader(file))


kinds = {}
for table in ("train_series_descriptions.csv", "test_series_descriptions.csv"):
    kinds.update({(row["study_id"], row["series_id"]): row["series_description"] for row in rows(table)})
points = {
    (row["study_id"], row["target"]): np.array([float(row[axis]) for axis in ("x_mm", "y_mm", "z_mm")])
    for row in rows("truth/points.csv")
}

tag_sets, meta, planes, found = Counter(), Counter(), defaultdict(dict), defaultdict(set)
identities, decoded, largest, smallest_share = defaultdict(set), 0, 0, 1.0
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    for path in sorted(folder.glob("*_images/*/*/*.dcm")):
        study, series = path.parts[-3:-1]
        file = pydicom.dcmread(path)
        for element in file:
            element.value
        tag_sets[tuple(element.keyword for element in file)] += 1
        meta[file.file_meta.MediaStorageSOPClassUID, file.file_meta.TransferSyntaxUID] += 1
        pixels = file.pixel_array
        assert pixels.shape == (file.Rows, file.Columns) and pixels.dtype == np.uint16
        assert pixels.std() > 5, f"{path} is blank"
        decoded, largest = decoded + 1, max(largest, int(pixels.max()))
        assert str(file.InstanceNumber) == path.stem and file.PatientID == study
        identities["study", study].add(file.StudyInstanceUID)
        identities["series", series].add(file.SeriesInstanceUID)
        identities["sop", "all"].add(file.SOPInstanceUID)
        x, y = np.array(file.ImageOrientationPatient, float).reshape(2, 3)
        assert abs(x @ y) < 1e-5 and abs(np.linalg.norm(x) - 1) < 1e-5
        planes[study, series][int(path.stem)] = (
            np.array(file.ImagePositionPatient, float), x, y, np.array(file.PixelSpacing, float),
            float(file.SpacingBetweenSlices), file.Rows, file.Columns,
        )
assert all(len(uids) == 1 for (what, _), uids in identities.items() if what != "sop")
assert len(identities["sop", "all"]) == decoded

# exact points, projected from the files alone
worst_px, worst_slices, projections = 0.0, 0.0, 0
for row in rows("truth/projections.csv"):
    position, x, y, spacing, gap, _, _ = planes[row["study_id"], row["series_id"]][int(row["instance_number"])]
    offset = points[row["study_id"], row["target"]] - position
    column, line = offset @ x / spacing[1], offset @ y / spacing[0]
    worst_px = max(worst_px, abs(column - float(row["column"])), abs(line - float(row["row"])))
    worst_slices = max(worst_slices, abs(offset @ np.cross(x, y)) / gap)
    projections += 1

# odd things, from the files and tables alone
axial = defaultdict(list)
for (study, series), slices in planes.items():
    kind, numbers = kinds[study, series], sorted(slices)
    if numbers != list(range(1, len(numbers) + 1)):
        found["instance_gap"].add(f"{study}/{series}")
    first, last = slices[numbers[0]], slices[numbers[-1]]
    middle = lambda s: s[0] + s[1] * s[3][1] * (s[6] - 1) / 2 + s[2] * s[3][0] * (s[5] - 1) / 2
    if kind == "Axial T2":
        axial[study].append(series)
        if middle(first)[2] < middle(last)[2]:
            found["reversed_axial"].add(f"{study}/{series}")
        normals = {tuple(np.round(np.cross(s[1], s[2]), 4)) for s in slices.values()}
        if len(normals) > 1:
            found["axial_stacks"].add(f"{study}/{series}")
    elif middle(first)[0] > middle(last)[0]:
        found["flipped_sagittal"].add(f"{study}/{series}")
for study, series in axial.items():
    if len(series) > 1:
        found["split_axial"].update(f"{study}/{s}" for s in series)
for study in {study for study, _ in planes}:
    names = Counter(kind for (s, _), kind in kinds.items() if s == study)
    for oddity, kind, count in (("missing_t1", "Sagittal T1", 0), ("missing_t2", "Sagittal T2/STIR", 0), ("second_t1", "Sagittal T1", 2)):
        if names[kind] == count:
            found[oddity].add(f"{study}/")

planted = defaultdict(set)
for row in rows("truth/oddities.csv"):
    planted[row["oddity"]].add(f"{row['study_id']}/{row['series_id']}")

# coordinates lie in files that exist, and left lies at larger x on axial pictures
sides, stray = defaultdict(dict), 0
for row in rows("train_label_coordinates.csv"):
    slices = planes[row["study_id"], row["series_id"]]
    plane = slices.get(int(row["instance_number"]))
    if plane is None or not (0 <= float(row["x"]) < plane[6] and 0 <= float(row["y"]) < plane[5]):
        stray += 1
    side, _, what = row["condition"].partition(" ")
    if what == "Subarticular Stenosis":
        sides[row["study_id"], row["level"]][side] = float(row["x"]) * plane[3][1]
pairs = [bool(pair["Left"] > pair["Right"]) for pair in sides.values() if len(pair) == 2]

print(json.dumps(default=float, obj={
    "tag_sets": [[list(tags), count] for tags, count in tag_sets.items()],
    "meta": [[list(key), count] for key, count in meta.items()],
    "decoded": decoded,
    "largest_pixel": largest,
    "warnings": sorted({str(warning.message) for warning in caught}),
    "projections": projections,
    "worst_px": worst_px,
    "worst_slices": worst_slices,
    "found": {key: sorted(value) for key, value in found.items()},
    "planted": {key: sorted(value) for key, value in planted.items()},
    "stray_coordinates": stray,
    "left_right_pairs": len(pairs),
    "left_at_larger_x": sum(pairs),
}))
