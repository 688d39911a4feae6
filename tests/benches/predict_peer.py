"""The peer of `predict.rs`: from bare DICOM to grades in Python, as a run of the preset `full` does it.

pydicom and pylibjpeg-rle read, numpy and OpenCV resample, PyTorch (eager, inference mode, timm's ResNet and a U-Net)
runs the run's own weights, numpy names the levels. What is computed is the same: windows, images of fixed millimetres,
five localisers, an ordered chain over discs, medians, recesses, crops, five graders, temperatures, and the mixing of
uncertain grades with the prior. Mirror images are left out on both sides where they are the same crop again. Left out
here are warnings, the handling of damaged files and the splitting of series with gaps.

Input, as JSON: {"run": folder, "studies": [{"study": name, "series": [[kind, folder], …]}, …], "threads": n,
"workers": n, "targets": names, "temperature": {group: value}}, where kind is `t1`, `t2` or `axial`. Answers
seconds, peak memory, points and probabilities.
"""
import csv
import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "predict"))
from job import CLASSES, CONFIG, CROP, GROUPS, JOB, LEFT, LEVELS, LOCATE, RUN, SERIES

import numpy as np
import torch
from decode import decode
from images import axes, best_slice, cut, images_of, read
from models import Grader, UNet, load
from points import complete


class Studies(torch.utils.data.Dataset):
    def __len__(self):
        return len(JOB["studies"])

    def __getitem__(self, number):
        stacks = read(JOB["studies"][number])
        grids, images = [], []
        for kind in ("t1", "t2"):
            if stacks[kind]:
                grid, image = images_of(max(stacks[kind], key=lambda stack: len(stack.slices)))
                grids.append(grid)
                images.append(image)
        return stacks, grids, torch.from_numpy(np.concatenate(images))


def crops_of(stacks, points):
    """Crops of visible targets, by group: pixels and targets."""
    size, step = (CROP["width_px"], CROP["height_px"]), (CROP["width_mm"] / CROP["width_px"], CROP["height_mm"] / CROP["height_px"])
    crops = {group: ([], []) for group in GROUPS}
    for target, point in enumerate(points):
        group = target // LEVELS
        seen = None if point is None else best_slice(stacks[SERIES[group]], point[0])
        if seen is None or not seen[2]:
            continue
        stack, own = seen[0], seen[3]
        sagittal = SERIES[group] != "axial"
        across, down = axes(own, sagittal)
        crop = cut(own, stack.window, point[0], across, down, step, size)
        if not sagittal and not LEFT[group]:
            crop = crop[:, ::-1]
        pixels, targets = crops[GROUPS[group]]
        pixels.append(np.ascontiguousarray(crop, np.float32))
        targets.append(target)
    return crops


class Grades:
    def __init__(self):
        temperature = JOB["temperature"]
        names = ("spinal", "foraminal", "foraminal", "subarticular", "subarticular")
        exponents = [temperature[name] if CONFIG["predict"]["temperature"] else 1.0 for name in names]
        self.exponents = 1 / np.repeat(exponents, LEVELS)[:, None]
        rows = {}
        with open(RUN / "prior.csv") as file:
            for row in csv.DictReader(file):
                rows[row["row_id"]] = [float(row[name]) for name in ("normal_mild", "moderate", "severe")]
        self.prior = np.array([rows[f"prior_{target}"] for target in JOB["targets"]])
        self.graders = [load(Grader(), RUN / f"fold-{fold}") for fold in range(CONFIG["folds"]["count"])]

    def of(self, studies):
        """The grades of a few studies: [(stacks, points)]."""
        cells = {group: ([], [], []) for group in ("canal", "foramen", "recess")}
        for number, (stacks, points) in enumerate(studies):
            for group, (pixels, targets) in crops_of(stacks, points).items():
                cells[group][0].extend(pixels)
                cells[group][1].extend([number] * len(targets))
                cells[group][2].extend(targets)
        share = np.array([[0 if p is None else min(p[1] / 0.9, 1) for p in points] for _, points in studies])[..., None]
        sums = np.zeros((len(studies), 25, CLASSES))
        for grader in self.graders:
            rows = np.broadcast_to(self.prior, sums.shape).copy()
            for group, (pixels, numbers, targets) in cells.items():
                if pixels:
                    images = torch.from_numpy(np.stack(pixels))[:, None].contiguous(memory_format=torch.channels_last)
                    logits = grader(group, images, torch.tensor(targets) % LEVELS)
                    graded = logits.double().softmax(-1).numpy() ** self.exponents[targets]
                    graded /= graded.sum(-1, keepdims=True)
                    mix = share[numbers, targets]
                    rows[numbers, targets] = mix * graded + (1 - mix) * self.prior[targets]
            sums += rows
        return sums / len(self.graders)


def main():
    start, used = time.perf_counter(), time.process_time()
    seconds = dict.fromkeys(("wait for images", "localisers", "points", "grades"), 0.0)

    def spent(part, since):
        now = time.perf_counter()
        seconds[part] += now - since
        return now

    localisers = [load(UNet(**LOCATE["unet"]), RUN / "locate" / f"fold-{fold}") for fold in range(CONFIG["folds"]["count"])]
    recess = json.loads((RUN / "locate" / "recess.json").read_text())["all"]
    model = json.loads((RUN / "reliability.json").read_text())["model"]
    grades, found, rows, batch = Grades(), [], [], []
    loader = torch.utils.data.DataLoader(Studies(), batch_size=None, num_workers=JOB["workers"])
    with torch.inference_mode():
        now = time.perf_counter()
        for stacks, grids, images in loader:
            now = spent("wait for images", now)
            of_folds = []
            for unet in localisers:
                parts = [unet(part.contiguous(memory_format=torch.channels_last)) for part in images.split(16)]
                logits = torch.cat(parts).contiguous().numpy()
                now = spent("localisers", now)
                of_folds.append(decode(grids, logits))
                now = spent("points", now)
            points = complete(of_folds, stacks, recess, model)
            found.append([None if point is None else [*point[0], point[1]] for point in points])
            batch.append((stacks, points))
            now = spent("points", now)
            if len(batch) == CONFIG["predict"]["batch_size"] or len(found) == len(JOB["studies"]):
                rows.extend(grades.of(batch).tolist())
                batch = []
            now = spent("grades", now)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    used = time.process_time() - used
    answer = {"total_s": time.perf_counter() - start, "processor_s": used, "peak_mb": peak / 1024, "points": found, "rows": rows}
    print(json.dumps({**answer, "parts_s": {part: round(value, 3) for part, value in seconds.items()}}))


if __name__ == "__main__":
    main()
