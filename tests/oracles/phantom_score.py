"""The competition's metric on a phantom's tables with pandas-free scikit-learn.

Argument: {"folder": ...}. Answer: the four parts for the oracle and for uniform predictions.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import log_loss

folder = Path(json.loads(sys.argv[1])["folder"])
severities = ["Normal/Mild", "Moderate", "Severe"]
with open(folder / "train.csv", newline="") as file:
    studies = list(csv.DictReader(file))
with open(folder / "truth/oracle.csv", newline="") as file:
    oracle = {r["row_id"]: [float(r[c]) for c in ("normal_mild", "moderate", "severe")] for r in csv.DictReader(file)}


def score(predict):
    groups, any_rows = {"spinal": [], "foraminal": [], "subarticular": []}, []
    for study in studies:
        spinal = []
        for column, text in study.items():
            if column == "study_id" or text == "":
                continue
            row = (severities.index(text), predict(f"{study['study_id']}_{column}"))
            groups[next(g for g in groups if g in column)].append(row)
            if "spinal" in column:
                spinal.append(row)
        if spinal:
            any_rows.append((max(r[0] == 2 for r in spinal), max(r[1][2] for r in spinal), max(2 ** r[0] for r in spinal)))
    parts = {}
    for name, rows in groups.items():
        truth, weights = [r[0] for r in rows], [2 ** r[0] for r in rows]
        parts[name] = log_loss(truth, np.array([r[1] for r in rows]), labels=[0, 1, 2], sample_weight=weights)
    severe = np.array([r[1] for r in any_rows])
    parts["any_severe_spinal"] = log_loss(
        [r[0] for r in any_rows], np.stack([1 - severe, severe], 1), labels=[False, True], sample_weight=[r[2] for r in any_rows]
    )
    return parts


print(json.dumps({"oracle": score(oracle.__getitem__), "uniform": score(lambda _: [1 / 3] * 3)}))
