"""From files to images: stacks of slices, cuts through them, and what the localiser looks at."""
import os

import cv2
import numpy as np
import pydicom
from job import SOURCE


class Slice:
    def __init__(self, path):
        ds = pydicom.dcmread(path)
        self.pixels = ds.pixel_array
        self.origin = np.array(ds.ImagePositionPatient, float)
        self.row, self.column = np.split(np.array(ds.ImageOrientationPatient, float), 2)
        self.normal = np.cross(self.row, self.column)
        self.spacing = np.array(ds.PixelSpacing, float)[::-1]
        self.thickness = float(ds.get("SliceThickness") or 0)
        self.slope, self.intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))

    def project(self, point):
        """Column, row, and millimetres in front of the slice."""
        v = np.asarray(point) - self.origin
        return v @ self.row / self.spacing[0], v @ self.column / self.spacing[1], v @ self.normal

    def patient_at(self, column, row):
        return self.origin + column * self.spacing[0] * self.row + row * self.spacing[1] * self.column

    def middle(self):
        rows, columns = self.pixels.shape
        return self.patient_at((columns - 1) / 2, (rows - 1) / 2)


class Stack:
    """Parallel slices of one series in order, and the window of the series."""

    def __init__(self, slices, window):
        self.slices, self.window = sorted(slices, key=lambda own: own.origin @ slices[0].normal), window
        gaps = np.diff([own.origin @ slices[0].normal for own in self.slices])
        self.spacing = float(np.median(gaps)) if len(gaps) else 0.0

    def nearest(self, point):
        """The nearest slice: its distance, whether it shows the point, and where."""
        seen = [own.project(point) for own in self.slices]
        own = min(range(len(seen)), key=lambda number: abs(seen[number][2]))
        column, row, distance = seen[own]
        rows, columns = self.slices[own].pixels.shape
        inside = -0.5 <= column <= columns - 0.5 and -0.5 <= row <= rows - 0.5
        covered = inside and abs(distance) <= max(self.spacing, self.slices[own].thickness) / 2 + 1e-3
        return abs(distance), covered, self.slices[own], (column, row)


def window_of(slices, low, high):
    """The percentiles of a series' values, by the quickest way: a histogram."""
    counts = np.zeros(1 << 16)
    for own in slices:
        counts += cv2.calcHist([own.pixels], [0], None, [1 << 16], [0, 1 << 16]).ravel()
    below = counts.cumsum()

    def percentile(percent):
        place = percent / 100 * (below[-1] - 1)
        ends = np.searchsorted(below, [np.floor(place), min(np.floor(place) + 1, below[-1] - 1)], side="right")
        return ends[0] + (ends[1] - ends[0]) * (place - np.floor(place))

    ends = [slices[0].slope * percentile(percent) + slices[0].intercept for percent in (low, high)]
    return ends if ends[1] > ends[0] else [ends[0], ends[0] + 1]


def read(study):
    """The stacks of a study by kind."""
    stacks = {"t1": [], "t2": [], "axial": []}
    for kind, folder in study["series"]:
        slices = [Slice(entry.path) for entry in os.scandir(folder) if entry.name.endswith(".dcm")]
        window = window_of(slices, **{name[:-8]: value for name, value in SOURCE["intensity"].items()})
        parallel = []
        for own in slices:
            group = next((group for group in parallel if group[0].normal @ own.normal > 0.99999), None)
            group.append(own) if group else parallel.append([own])
        stacks[kind] += [Stack(group, window) for group in parallel]
    return stacks


def axes(own, sagittal):
    """Unit vectors along the columns and rows that all images of a plane have."""
    wanted = ((1, 1), (2, -1)) if sagittal else ((0, 1), (1, 1))
    pair = (own.row, own.column)
    if abs(own.row[wanted[0][0]]) < abs(own.column[wanted[0][0]]):
        pair = (own.column, own.row)
    return [axis * (-1 if axis[part] * sign < 0 else 1) for axis, (part, sign) in zip(pair, wanted)]


def cut(own, window, centre, across, down, step, size):
    """An image of `size` (columns, rows) about a point, `step` millimetres a pixel, in 0…1."""
    width, height = size
    start = centre - (width - 1) / 2 * step[0] * across - (height - 1) / 2 * step[1] * down
    places = [own.project(at)[:2] for at in (start, start + step[0] * across, start + step[1] * down)]
    (x, y), right, below = places
    matrix = np.array([[right[0] - x, below[0] - x, x], [right[1] - y, below[1] - y, y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(own.pixels.astype(np.float32), matrix, size, flags=flags)
    low, high = window
    gain = own.slope / (high - low)
    return np.clip(image * gain + (own.intercept - low) / (high - low), 0, 1)


class Grid:
    """Where the images of a sagittal stack are: millimetres behind, below and to the left of their middle."""

    def __init__(self, stack):
        own = stack.slices[len(stack.slices) // 2]
        self.back, self.down = axes(own, True)
        normal = np.cross(self.back, self.down)
        self.left = -normal if normal[0] < 0 else normal
        self.middle = own.middle()
        self.axes = np.stack([self.back, self.down, self.left])

    def project(self, point):
        return self.axes @ (np.asarray(point) - self.middle)

    def patient_at(self, at):
        return self.middle + np.asarray(at) @ self.axes


def images_of(stack):
    """Images of all slices as the network sees them, from right to left, with their grid."""
    grid = Grid(stack)
    size, pixel = (SOURCE["width_px"], SOURCE["height_px"]), SOURCE["pixel_mm"]
    slices = sorted(((grid.project(own.middle())[2], own) for own in stack.slices), key=lambda pair: pair[0])
    grid.offsets = np.array([offset for offset, _ in slices])
    own = stack.slices[len(stack.slices) // 2]
    rows, columns = own.pixels.shape
    corners = np.array([grid.project(own.patient_at(x, y)) for x in (-0.5, columns - 0.5) for y in (-0.5, rows - 0.5)])
    stored = 0.75 * pixel
    width, height = (int(max(1, round(min(2 * side, 400) / stored))) for side in np.abs(corners[:, :2]).max(0))
    finer = int(np.clip(round(stored / own.spacing.min()), 1, 8))
    scale = pixel / stored
    shift = [(far - 1) / 2 - scale * (near - 1) / 2 for far, near in zip((width, height), size)]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    side = 2 * max(1, round(SOURCE["local_mm"] / pixel)) + 1
    box = dict(ddepth=cv2.CV_64F, ksize=(side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = cv2.boxFilter(np.ones(size[::-1]), **box)
    planes = []
    for offset, own in slices:
        centre = grid.middle + offset * grid.left
        fine = cut(own, stack.window, centre, grid.back, grid.down, (stored / finer,) * 2, (width * finer, height * finer))
        plane = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) if finer > 1 else fine
        plane = cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        plane = (plane - 0.25) / 0.25
        mean, square = cv2.boxFilter(plane, **box) / count, cv2.sqrBoxFilter(plane, **box) / count
        planes.append((plane - mean) / (np.sqrt(np.maximum(square - mean * mean, 0)) + 0.1))
    planes = np.stack(planes).astype(np.float32)
    before, after = np.concatenate([planes[:1], planes[:-1]]), np.concatenate([planes[1:], planes[-1:]])
    return grid, np.stack([planes, np.minimum(before, after), np.maximum(before, after)], 1)


def best_slice(stacks, point):
    found = [(stack, *stack.nearest(point)) for stack in stacks]
    return min(found, key=lambda seen: (not seen[2], seen[1]), default=None)
