"""Every measure of `lumbar::metric`, computed with scikit-learn.

Argument: {"table": path of a JSON file {"truth": [studies][25] of 0, 1, 2 or null, "predicted": [studies][25][3]}},
targets in the column order of train.csv. Answer: the four parts of the score and the measures of all labelled
cells pooled, and of each target alone (null where scikit-learn cannot compute one).
"""
import json
import sys
import warnings

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import (average_precision_score, balanced_accuracy_score, brier_score_loss, cohen_kappa_score,
                             log_loss, roc_auc_score)

warnings.simplefilter("ignore")
table = json.load(open(json.loads(sys.argv[1])["table"]))
truth = np.array([[-1 if cell is None else cell for cell in row] for row in table["truth"]])
predicted = np.array(table["predicted"], dtype=np.float64)
labelled = truth >= 0
weight = np.where(labelled, 2.0 ** np.maximum(truth, 0), 0.0)
EPSILON = np.finfo(np.float64).eps


def clipped(rows):
    """What Kaggle's scikit-learn did inside log_loss: clip, then divide by the sum."""
    rows = np.clip(rows, EPSILON, 1 - EPSILON)
    return rows / rows.sum(axis=1, keepdims=True)


def group(columns):
    mask = labelled[:, columns]
    return log_loss(np.eye(3)[truth[:, columns][mask]], clipped(predicted[:, columns][mask]),
                    sample_weight=weight[:, columns][mask])


def any_severe():
    spinal, mask = slice(0, 5), labelled[:, 0:5]
    some = mask.any(axis=1)
    label = (truth[:, spinal] == 2).any(axis=1)[some].astype(int)
    largest = np.where(mask, predicted[:, spinal, 2], -1).max(axis=1)[some]
    return log_loss(label, clipped(np.stack([1 - largest, largest], axis=1)),
                    sample_weight=weight[:, spinal].max(axis=1)[some], labels=[0, 1])


def calibration_error(y, p, bins=15):
    total = 0.0
    for k in range(3):
        observed, mean = calibration_curve(y == k, p[:, k], n_bins=bins)
        edges = np.linspace(0, 1, bins + 1)
        count = np.bincount(np.searchsorted(edges[1:-1], p[:, k]), minlength=bins)
        total += (count[count > 0] * np.abs(observed - mean)).sum() / len(y)
    return total / 3


def measures(y, raw):
    p = raw / raw.sum(axis=1, keepdims=True)
    severe, moderate = y == 2, y >= 1
    two = lambda mask: 0 < mask.sum() < len(mask)
    kappa = lambda kind: cohen_kappa_score(y, raw.argmax(axis=1), weights=kind, labels=[0, 1, 2])
    number = lambda value: None if value is None or not np.isfinite(value) else float(value)
    answer = {
        "weighted_log_loss": log_loss(y, p, sample_weight=2.0**y, labels=[0, 1, 2]),
        "auroc_severe": roc_auc_score(severe, p[:, 2]) if two(severe) else None,
        "auroc_at_least_moderate": roc_auc_score(moderate, p[:, 1] + p[:, 2]) if two(moderate) else None,
        "average_precision_severe": average_precision_score(severe, p[:, 2]) if severe.any() else None,
        "average_precision_at_least_moderate":
            average_precision_score(moderate, p[:, 1] + p[:, 2]) if moderate.any() else None,
        "balanced_accuracy": balanced_accuracy_score(y, raw.argmax(axis=1)),
        "kappa_linear": kappa("linear"),
        "kappa_quadratic": kappa("quadratic"),
        "ranked_probability_score": brier_score_loss(y <= 0, np.clip(p[:, 0], 0, 1))
                                    + brier_score_loss(y <= 1, np.clip(p[:, 0] + p[:, 1], 0, 1)),
        "brier": float(np.mean(((p - np.eye(3)[y]) ** 2).sum(axis=1))),
        "calibration_error": calibration_error(y, p),
    }
    return {name: number(value) for name, value in answer.items()}


print(json.dumps({
    "spinal": group(slice(0, 5)),
    "foraminal": group(slice(5, 15)),
    "subarticular": group(slice(15, 25)),
    "any_severe_spinal": any_severe(),
    "pooled": measures(truth[labelled], predicted[labelled]),
    "targets": [measures(truth[labelled[:, k], k], predicted[labelled[:, k], k]) for k in range(25)],
}))
