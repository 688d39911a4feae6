"""Medians over localisers, recesses beside canal and foramina, and calibrated reliabilities: `predict/locate.rs`."""
import numpy as np
from images import best_slice
from job import LEVELS


def median(of_folds):
    points, agreements = [None] * 25, [None] * 25
    for target in range(25):
        found = [points[target] for points in of_folds if points[target] is not None]
        if found and 2 * len(found) >= len(of_folds):
            positions = np.array([at for at, _ in found])
            middle = np.median(positions, 0)
            agreements[target] = (np.linalg.norm(positions - middle, axis=1) <= 6).sum() / len(of_folds)
            points[target] = (middle, float(np.mean([confidence for _, confidence in found])))
    return points, agreements


def unit(a):
    length = np.linalg.norm(a)
    return a / length if length > 1e-6 else None


class Recess:
    """`data/recess.rs`."""

    def __init__(self, points, model):
        self.points, self.mean, self.terms = points, np.array(model["mean_mm"]), np.array(model["terms"])
        self.feature_means = model["feature_means_mm"]

    def at(self, group, level):
        point = self.points[5 * group + level]
        return None if point is None else point[0]

    def foramina(self, level):
        pair = self.at(1, level), self.at(2, level)
        return None if any(at is None for at in pair) else pair

    def frame(self, level):
        near, left = (1.0, 0.5, 0.25, 0.1, 0.1), np.zeros(3)
        for other in range(LEVELS):
            if (pair := self.foramina(other)) is not None:
                left += near[abs(level - other)] * (pair[0] - pair[1])
        left = unit(left) if unit(left) is not None else np.array([1.0, 0, 0])
        own = self.at(0, level)
        known = lambda levels: next((self.at(0, at) for at in levels if self.at(0, at) is not None), own)
        up = unit(known(reversed(range(level))) - known(range(level + 1, LEVELS)))
        up = np.array([0, 0, 1.0]) if up is None else up
        up = unit(up - up @ left * left)
        return np.stack([left, np.cross(up, left), up])

    def position(self, level, sign):
        canal = self.at(0, level)
        if canal is None:
            return None
        frame, pair = self.frame(level), self.foramina(level)
        half = lambda pair: np.linalg.norm(pair[0] - pair[1]) / 2
        halves = [half(own) for own in map(self.foramina, range(LEVELS)) if own is not None]
        middle = None if pair is None else frame @ ((pair[0] + pair[1]) / 2 - canal)
        features = [None if pair is None else half(pair), np.mean(halves) if halves else None]
        features += [None] * 3 if middle is None else [sign * middle[0], middle[1], middle[2]]
        own = [0 if value is None else value - mean for value, mean in zip(features, self.feature_means)]
        offset = self.mean + np.concatenate([np.eye(LEVELS)[level], own]) @ self.terms
        return canal + offset * [sign, 1, 1] @ frame


def complete(of_folds, stacks, recess, model):
    points, agreements = median(of_folds)
    carried = Recess(list(points), recess)
    for group, sign in ((3, 1), (4, -1)):
        for level in range(LEVELS):
            start = carried.position(level, sign)
            seen = None if start is None else best_slice(stacks["axial"], start)
            if seen is not None and seen[2]:
                sources = [points[5 * source + level] for source in range(3)]
                confidence = min([1.0] + [point[1] for point in sources if point is not None])
                points[5 * group + level] = (seen[3].patient_at(*seen[4]), confidence)
    usual, deviation = np.array([1.08, 1.06, 1.00, 0.86]), 0.06
    calibrated = [None] * 25
    for target, point in enumerate(points):
        if point is None:
            continue
        group, level = divmod(target, LEVELS)
        chain = [points[5 * (0 if group > 2 else group) + other] for other in range(LEVELS)]
        lengths = [None if a is None or b is None else np.linalg.norm(a[0] - b[0]) for a, b in zip(chain, chain[1:])]
        known = [(usual[at], length) for at, length in enumerate(lengths) if length is not None]
        scale = sum(length for _, length in known) / sum(own for own, _ in known) if known else np.nan
        off = [abs(lengths[at] / scale - usual[at]) / deviation for at in (level - 1, level) if 0 <= at < 4 and lengths[at] is not None]
        irregular = min(max(off), 5.0) if off and np.isfinite(max(off)) else 5.0
        confidence = np.clip(point[1], 1e-3, 1 - 1e-3)
        logit = model["intercepts"][(group + 1) // 2] + model["confidence"] * np.log(confidence / (1 - confidence))
        logit += model["irregularity"] * irregular
        agreement = agreements[target] if agreements[target] is not None else agreements[level]
        agreement = 1.0 if agreement is None else agreement
        calibrated[target] = (point[0], agreement / (1 + np.exp(-logit)))
    return calibrated
