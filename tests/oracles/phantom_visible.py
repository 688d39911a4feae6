"""Measures the disease on the pictures of a phantom, at the exact points, and compares with the latent degree.

Argument: {"folder": ...}. Answer, for each condition: cells measured, Spearman's rank correlation between a
linear measurement in millimetres and the latent degree over all levels and studies, and how much of the
measurement's rest, once its own target's degree is taken out, goes with the other conditions' degrees.

The measurements know nothing of how the pictures are made beyond "bright": the front-to-back diameter of the bright
canal on sagittal T2, the bright width around the root on sagittal T1, the bright front-to-back width of the recess
on axial T2, each a sum of linear coverage between a dark and a bright reference along lines through the point.
"""

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
from scipy.ndimage import map_coordinates
from scipy.stats import rankdata, spearmanr

arguments = json.loads(sys.argv[1])
folder = Path(arguments["folder"])


def rows(path):
    with open(folder / path, newline="") as file:
        return list(csv.DictReader(file))


kinds = {row["series_id"]: row["series_description"] for row in rows("train_series_descriptions.csv")}
degrees = {(row["study_id"], row["target"]): float(row["degree"]) for row in rows("truth/degrees.csv")}
wanted = {"spinal": "Sagittal T2/STIR", "foraminal": "Sagittal T1", "subarticular": "Axial T2"}


def family(target):
    return next(name for name in wanted if name in target)


def line(image, x, y, dx, dy, spacing, reach_mm, step_mm=0.2):
    """Values along a line through (x, y) with unit direction (dx, dy) in the picture."""
    t = np.arange(-reach_mm, reach_mm + 1e-6, step_mm) / spacing
    return map_coordinates(image, [y + t * dy, x + t * dx], order=1, mode="nearest")


def extent(values, threshold, step_mm=0.2):
    """Distance between the outermost crossings of the threshold, to a fraction of a step; 0 when all is dark.
    Outermost, because the cord and the roots are dark islands in the fluid."""
    bright = np.flatnonzero(values > threshold)
    if len(bright) == 0:
        return 0.0
    first, last = bright[0], bright[-1]
    ends = float(last - first)
    for i, j in ((first, first - 1), (last, last + 1)):
        if 0 <= j < len(values):
            ends += (values[i] - threshold) / (values[i] - values[j])
    return ends * step_mm


def canal(image, x, y, spacing, brightest):
    """Front-to-back diameter of the fluid: the shortest extent over directions near the canal's axis."""
    widths = []
    for angle in np.deg2rad(np.arange(-45, 46, 5)):
        values = line(image, x, y, np.cos(angle), np.sin(angle), spacing, 10)
        widths.append(extent(values, 0.66 * brightest))
    return min(widths)


def fat(image, x, y, spacing, brightest):
    """Bright area around the root within a foramen's size, as a mean bright width."""
    ys, xs = np.mgrid[-9:9.1:0.5, -6:6.1:0.5]
    within = np.hypot(xs / 6, ys / 9) <= 1
    ys, xs = ys[within], xs[within]
    values = map_coordinates(image, [y + ys / spacing, x + xs / spacing], order=1, mode="nearest")
    low, high = 0.62 * brightest, 0.95 * brightest
    return float(np.clip((values - low) / (high - low), 0, 1).mean() * 12)


def recess(image, x, y, spacing, brightest):
    """Bright front-to-back width through the recess, over lines within a millimetre of the point."""
    dark, bright = 0.25 * brightest, 0.9 * brightest
    widths = []
    for offset in (-0.8, -0.4, 0.0, 0.4, 0.8):
        values = line(image, x + offset / spacing, y, 0, 1, spacing, 5.0)
        widths.append(np.clip((values - dark) / (bright - dark), 0, 1).sum() * 0.2)
    return float(np.mean(widths))


measures = {"spinal": canal, "foraminal": fat, "subarticular": recess}
points = {
    (row["study_id"], row["target"]): np.array([float(row[axis]) for axis in ("x_mm", "y_mm", "z_mm")])
    for row in rows("truth/points.csv")
}
pictures = {}


def picture(study, series, instance):
    key = (study, series, instance)
    if key not in pictures:
        pictures.clear()
        file = pydicom.dcmread(folder / "train_images" / study / series / f"{instance}.dcm")
        pictures[key] = (file, file.pixel_array.astype(float), float(file.PixelSpacing[0]))
    return pictures[key]


def patch(image, x, y, radius_mm, spacing, percentile):
    r = int(radius_mm / spacing)
    return np.percentile(image[max(int(y) - r, 0) : int(y) + r, max(int(x) - r, 0) : int(x) + r], percentile)


# the nearest slice that shows each point, in the kind of series on which its condition is graded
seen = {}
for row in rows("truth/projections.csv"):
    if kinds.get(row["series_id"]) != wanted[family(row["target"])]:
        continue
    key = (row["study_id"], row["target"])
    if key not in seen or abs(float(row["distance_mm"])) < abs(float(seen[key]["distance_mm"])):
        seen[key] = row
order = sorted(seen.items(), key=lambda item: (item[0][0], item[1]["series_id"], item[1]["instance_number"]))

# fat may be gone around one root: no reference falls far below the series' usual one
fats = defaultdict(list)
for (study, target), row in order:
    if family(target) == "foraminal":
        _, image, spacing = picture(study, row["series_id"], row["instance_number"])
        fats[study].append(patch(image, float(row["column"]), float(row["row"]), 16, spacing, 96))

found = {}
for (study, target), row in order:
    file, image, spacing = picture(study, row["series_id"], row["instance_number"])
    name, x, y = family(target), float(row["column"]), float(row["row"])
    if name == "spinal":
        bright, scale = patch(image, x, y, 12, spacing, 98), 1.0
    elif name == "foraminal":
        bright, scale = max(patch(image, x, y, 16, spacing, 96), 0.9 * np.median(fats[study])), 1.0
    else:
        # brightness from the middle of the canal; widths across the disc, however oblique the slice
        level = "_".join(target.split("_")[-2:])
        sides = [points[study, f"{side}_subarticular_stenosis_{level}"] for side in ("left", "right")]
        centre = points[study, f"spinal_canal_stenosis_{level}"]
        axes = np.array([float(v) for v in file.ImageOrientationPatient]).reshape(2, 3)
        offset = centre - np.array([float(v) for v in file.ImagePositionPatient])
        bright = patch(image, axes[0] @ offset / spacing, axes[1] @ offset / spacing, 11, spacing, 98)
        back = centre - sum(sides) / 2
        scale = float(axes[1] @ back / np.linalg.norm(back))
    found[study, target] = scale * measures[name](image, x, y, spacing, bright)

answer = {}
conditions = sorted({target.rsplit("_", 2)[0] for _, target in found})
for condition in conditions:
    cells = [key for key in found if key[1].startswith(condition)]
    measured = np.array([found[key] for key in cells])
    own = np.array([degrees[key] for key in cells])
    rest = rankdata(measured)
    slope, level = np.polyfit(rankdata(own), rest, 1)
    rest = rest - slope * rankdata(own) - level
    leaks = {}
    for other in conditions:
        if other == condition:
            continue
        theirs = np.array([degrees[s, other + t[len(condition) :]] for s, t in cells])
        a, b = np.polyfit(rankdata(own), rankdata(theirs), 1)
        leaks[other] = float(np.corrcoef(rest, rankdata(theirs) - a * rankdata(own) - b)[0, 1])
    answer[condition] = {
        "cells": len(cells),
        "rank_correlation": float(spearmanr(measured, own).statistic),
        "leaks": leaks,
        "median_mm": float(np.median(measured)),
    }
    if arguments.get("dump"):
        answer[condition]["pairs"] = [[key[0], key[1], degrees[key], found[key], kinds[seen[key]["series_id"]]] for key in cells]
print(json.dumps(answer))
