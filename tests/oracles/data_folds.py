"""Folds of the same labels by iterative-stratification and by scikit-learn's KFold."""

import json
import sys

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.model_selection import KFold

request = json.loads(sys.argv[1])
labels, folds = np.array(request["labels"]), request["folds"]
answer = {}
for name, splitter in [
    ("iterative", MultilabelStratifiedKFold(folds, shuffle=True, random_state=1)),
    ("k_fold", KFold(folds, shuffle=True, random_state=1)),
]:
    assignment = np.zeros(len(labels), int)
    for fold, (_, valid) in enumerate(splitter.split(labels, labels)):
        assignment[valid] = fold
    answer[name] = assignment.tolist()
print(json.dumps(answer))
