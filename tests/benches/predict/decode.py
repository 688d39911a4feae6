"""Points from maps, as `tasks/locate/decode.rs` and `chain.rs` find them, with their constants."""
import cv2
import numpy as np
from job import LEFT, LEVELS, MAPS, SOURCE

CENTROID_MM, CENTROIDS, APART_MM, LEAST_SHARE, FLOOR, FORAMEN_MM, SIDE_MM = 8.1, 4, 10.0, 4e-3, 1e-3, 16.0, 4.0
DISTANCES, DIRECTIONS = np.array([1.08, 1.06, 1.00, 0.86]), np.array([-12.0, -8.0, 2.0, 16.0])
STEP_MM, STEP_SPREAD, DIRECTION_SPREAD, MISSING, OTHER_MM = 35.0, 0.22, 16.0, -1.5, 12.0
ROWS, COLUMNS, MAP_MM = SOURCE["height_px"] // 2, SOURCE["width_px"] // 2, 2 * SOURCE["pixel_mm"]
PLACES = np.stack(np.meshgrid((np.arange(COLUMNS) - (COLUMNS - 1) / 2) * MAP_MM, (np.arange(ROWS) - (ROWS - 1) / 2) * MAP_MM), -1)
CHANCE = np.pi * (CENTROID_MM / MAP_MM) ** 2 / (ROWS * COLUMNS)


def disc(at, radius):
    """The part of a map about a place, and which of its pixels are within the radius."""
    middle = np.array([(COLUMNS - 1) / 2, (ROWS - 1) / 2])
    low = np.floor((np.asarray(at) - radius) / MAP_MM + middle).astype(int).clip(0)
    high = np.ceil((np.asarray(at) + radius) / MAP_MM + middle).astype(int).clip(0) + 1
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    return part, np.hypot(*np.moveaxis(PLACES[part] - at, -1, 0)) <= radius


class StackMaps:
    def __init__(self, grid, logits):
        self.grid, self.logits = grid, logits
        both = np.r_[0:LEVELS, MAPS - 1]
        self.both = self.softmax(logits[:, both])
        self.planes = self.both.sum(0)

    @staticmethod
    def softmax(logits):
        odds = np.exp(logits - logits.max((0, 2, 3), keepdims=True))
        return odds / odds.sum((0, 2, 3), keepdims=True)

    def mass(self, level, at):
        part, inside = disc(at, CENTROID_MM)
        return float(self.planes[level][part][inside].sum())

    def find(self, values, plane, offsets, near, radius):
        part, inside = disc(near, radius)
        if not inside.any():
            return None
        peak = np.unravel_index(np.where(inside, plane[part], -1).argmax(), inside.shape)
        row, column = part[0].start + peak[0], part[1].start + peak[1]
        own = values[:, row, column]
        best = np.flatnonzero(own == own.max())[-1]
        at = np.array([*PLACES[row, column], offsets[best]])
        for _ in range(CENTROIDS):
            (part, inside), near = disc(at[:2], CENTROID_MM), np.abs(offsets - at[2]) <= CENTROID_MM
            weights = values[near][(slice(None), *part)] * inside
            mass = float(weights.sum())
            if mass <= 0:
                return None
            at = np.array([*np.einsum("srp,rpk->k", weights, PLACES[part]), weights.sum((1, 2)) @ offsets[near]]) / mass
        return self.grid.patient_at(at), mass

    def peaks(self):
        together = self.planes[:LEVELS].sum(0) + LEVELS * self.planes[LEVELS]
        highest = cv2.dilate(together, np.ones((3, 3)))
        rows, columns = np.nonzero((together >= highest) & (together > LEAST_SHARE))
        peaks = []
        for number in np.argsort(-together[rows, columns], kind="stable"):
            at = PLACES[rows[number], columns[number]]
            if all(np.hypot(*(peak - at)) > APART_MM for peak in peaks):
                peaks.append(at)
        return peaks

    def foramen(self, level, left, canal):
        at = self.grid.project(canal)
        beside = (1 if left else -1) * (self.grid.offsets - at[2]) >= SIDE_MM
        if not beside.any():
            return None
        values = self.softmax(self.logits[beside, LEVELS + level][:, None])[:, 0]
        return self.find(values, values.sum(0), self.grid.offsets[beside], at[:2], FORAMEN_MM)


def joined(found):
    known = [pair for pair in found if pair is not None]
    if not known:
        return None
    best, most = max(known, key=lambda pair: pair[1])
    near = [(at, mass) for at, mass in known if np.linalg.norm(at - best) <= CENTROID_MM]
    total = sum(mass for _, mass in near)
    return sum(mass * at for at, mass in near) / total, min(max(total, most) / len(found), 1.0)


def steps(places):
    """Log-odds of the step from each candidate to each other, by the levels above and below."""
    back, down = (places[None, :, axis] - places[:, None, axis] for axis in (0, 1))
    length, angle = np.hypot(back, down), np.degrees(np.arctan2(back, down))
    table = {}
    for above in range(LEVELS):
        for below in range(above + 1, LEVELS):
            distance = (length / (STEP_MM * DISTANCES[above:below].sum()) - 1) / STEP_SPREAD
            direction = (angle - DIRECTIONS[above:below].mean()) / DIRECTION_SPREAD
            table[above, below] = np.where(down > 0, -0.5 * (distance**2 + direction**2), -np.inf)
    return table


def solve(evidence, table):
    best, before = [], []
    count = evidence.shape[1]
    for level in range(LEVELS):
        chain, from_ = np.full(count, level * MISSING), [None] * count
        for above in range(level):
            sums = best[above][:, None] + (level - above - 1) * MISSING + table[above, level]
            for own in np.flatnonzero(sums.max(0) > chain):
                chain[own], from_[own] = sums[:, own].max(), (above, int(sums[:, own].argmax()))
        best.append(chain + evidence[level])
        before.append(from_)
    ends = np.array([row + (LEVELS - 1 - level) * MISSING for level, row in enumerate(best)])
    levels, place = [None] * LEVELS, None
    if count and ends.max() > LEVELS * MISSING:
        place = tuple(int(at) for at in np.unravel_index(ends.argmax(), ends.shape))
    score = ends.max() if place else LEVELS * MISSING
    while place:
        levels[place[0]] = place[1]
        place = before[place[0]][place[1]]
    return score, levels


def chain_of(stacks):
    places, seen = [], []
    for stack in stacks:
        for peak in stack.peaks():
            at = stack.grid.patient_at([*peak, 0])
            own = np.array([at[1], -at[2]])
            if all(np.hypot(*(own - other)) > CENTROID_MM for other in seen):
                places.append(at)
                seen.append(own)
    evidence = np.zeros((LEVELS, len(places)))
    for number, place in enumerate(places):
        for stack in stacks:
            near = stack.grid.project(place)[:2]
            masses = np.array([stack.mass(level, near) for level in range(LEVELS)])
            evidence[:, number] += np.log((masses + FLOOR) / (CHANCE + FLOOR))
    if not places:
        return places, [None] * LEVELS, [0.0] * LEVELS
    seen = np.array(seen)
    table = steps(seen)
    best, levels = solve(evidence, table)
    margins = [0.0] * LEVELS
    for level, own in enumerate(levels):
        if own is not None:
            elsewhere = evidence.copy()
            elsewhere[level, np.hypot(*(seen - seen[own]).T) <= OTHER_MM] = -np.inf
            margins[level] = best - solve(elsewhere, table)[0]
    return places, levels, margins


def decode(grids, logits):
    """Points of canal and foramina over the 25 targets, and their confidences."""
    points, stacks, start = [None] * 25, [], 0
    for grid in grids:
        stacks.append(StackMaps(grid, logits[start : start + len(grid.offsets)]))
        start += len(grid.offsets)
    places, levels, margins = chain_of(stacks)
    for level in range(LEVELS):
        if levels[level] is None:
            continue
        certainty = 1 / (1 + np.exp(-margins[level]))
        place = places[levels[level]]
        of = lambda stack: stack.find(
            stack.both[:, level], stack.planes[level], stack.grid.offsets, stack.grid.project(place)[:2], CENTROID_MM
        )
        canal = joined([of(stack) for stack in stacks])
        if canal is None:
            continue
        points[level] = (canal[0], canal[1] * certainty)
        for group in (1, 2):
            foramen = joined([stack.foramen(level, LEFT[group], canal[0]) for stack in stacks])
            if foramen is not None:
                points[5 * group + level] = (foramen[0], foramen[1] * certainty)
    return points
