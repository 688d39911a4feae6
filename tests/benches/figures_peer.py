"""The peer of benches/figures.rs: the same figures with matplotlib, as PNG at twice the resolution of a page 900 px wide.

Argument: a JSON file with {"slices": [[columns, values], …], "cells": [[group, label, [p, p, p]], …]}.
Reads the name of a figure a line, answers the seconds it took.
"""

import io
import json
import sys
import time

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

with open(sys.argv[1]) as file:
    data = json.load(file)
slices = [np.asarray(values, dtype=np.float32).reshape(-1, columns) for columns, values in data["slices"]]
group = np.array([cell[0] for cell in data["cells"]])
label = np.array([cell[1] for cell in data["cells"]])
rows = np.array([cell[2] for cell in data["cells"]])
NAMES = ["Normal/Mild", "Moderate", "Severe"]
COLOURS = ["#88bee8", "#d6780a", "#780a3c"]
low, high = np.percentile(np.concatenate([values.ravel() for values in slices]), [1, 99.5])


def save(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=200)
    plt.close(figure)


def montage():
    chosen = slices[:: max(1, len(slices) // 12)][:12]
    figure, axes = plt.subplots(3, 4, figsize=(9, 7))
    for number, axis in enumerate(axes.flat):
        axis.axis("off")
        if number < len(chosen):
            axis.imshow(chosen[number], cmap="gray", vmin=low, vmax=high)
            axis.set_title(f"slice {number}", fontsize=8)
            axis.text(0.02, 0.5, "A", transform=axis.transAxes, color="gold")
            axis.plot([10, 60], [chosen[number].shape[0] - 10] * 2, color="white")
    save(figure)


def distributions():
    figure, axes = plt.subplots(3, 3, figsize=(9, 7), sharex=True)
    for g in range(3):
        for severity in range(3):
            axis = axes[g, severity]
            for truth in range(3):
                axis.hist(rows[(group == g) & (label == truth), severity], bins=40, range=(0, 1), density=True,
                          alpha=0.6, color=COLOURS[truth], label=NAMES[truth])
            axis.set_xlabel(f"probability of {NAMES[severity]}")
            axis.set_ylabel("density")
    axes[0, 0].legend()
    save(figure)


def reliability():
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.4))
    for g, axis in enumerate(axes):
        for severity in range(3):
            p, hit = rows[group == g, severity], label[group == g] == severity
            order = np.array_split(np.argsort(p), 10)
            x, y = [p[bin].mean() for bin in order], np.array([hit[bin].mean() for bin in order])
            error = [1.96 * np.sqrt(v * (1 - v) / len(bin)) for v, bin in zip(y, order)]
            axis.errorbar(x, y, error, color=COLOURS[severity], marker="o", label=NAMES[severity])
        axis.plot([0, 1], [0, 1], color="grey")
        axis.set_xlabel("predicted probability")
        axis.set_ylabel("observed share")
    axes[0].legend()
    save(figure)


def ternary():
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.4))
    for g, axis in enumerate(axes):
        p = rows[group == g]
        x, y = p[:, 2] + p[:, 1] / 2, p[:, 1] * np.sqrt(3) / 2
        axis.plot([0, 1, 0.5, 0], [0, 0, np.sqrt(3) / 2, 0], color="black")
        for truth in range(3):
            chosen = label[group == g] == truth
            axis.scatter(x[chosen], y[chosen], s=6, color=COLOURS[truth], label=NAMES[truth])
        axis.set_aspect("equal")
        axis.axis("off")
    axes[0].legend()
    save(figure)


def stack_view():
    """Its own slice scroller: an animation with a slider as HTML."""
    figure, axis = plt.subplots(figsize=(4.4, 4.4))
    axis.axis("off")
    image = axis.imshow(slices[0], cmap="gray", vmin=low, vmax=high)

    def show(number):
        image.set_data(slices[number])
        return [image]

    FuncAnimation(figure, show, frames=len(slices)).to_jshtml()
    plt.close(figure)


FIGURES = {"montage": montage, "distributions": distributions, "reliability": reliability, "ternary": ternary,
           "stack view": stack_view}  # fmt: skip
print(matplotlib.__version__, flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    FIGURES[line.strip()]()
    print(time.perf_counter() - start, flush=True)
