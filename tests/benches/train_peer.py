"""The peer of train.rs: the crop grader as one writes it in Python, with pydicom, OpenCV, albumentations, timm and
PyTorch. The same studies, points, crops, augmentation recipe, networks, loss, optimizer and number of threads.

Each study is decoded once, its crops' surroundings stay in memory; crops are cut and augmented for every epoch by
a DataLoader. One JSON value on the command line, see train.rs; answers with seconds and peak memory as JSON.
"""

import csv
import json
import resource
import sys
import time
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pydicom
import torch
from data import recipe
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "oracles"))
import networks  # noqa: E402

JOB = json.loads(sys.argv[1])
CONDITIONS = [
    "spinal_canal_stenosis",
    "left_neural_foraminal_narrowing",
    "right_neural_foraminal_narrowing",
    "left_subarticular_stenosis",
    "right_subarticular_stenosis",
]
LEVELS = ["l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1"]
TARGETS = [f"{condition}_{level}" for condition in CONDITIONS for level in LEVELS]
GROUPS = [slice(0, 5), slice(5, 15), slice(15, 25)]
SEVERITIES = {"Normal/Mild": 0, "Moderate": 1, "Severe": 2, "": -1}
PX, SLICES, SIZE_MM = JOB["px"], JOB["slices"], JOB["size_mm"]

cv2.setNumThreads(1)
torch.set_num_threads(JOB["threads"])
torch.manual_seed(0)


def read_series(folder):
    """Slices by instance number and in order along their stack, and the window of the series."""
    stacks, place = {}, {}
    for path in folder.glob("*.dcm"):
        ds = pydicom.dcmread(path)
        turn = np.array(ds.ImageOrientationPatient, float)
        normal = np.cross(turn[:3], turn[3:])
        distance = float(np.dot(normal, np.array(ds.ImagePositionPatient, float)))
        pixels = ds.pixel_array * np.float32(ds.get("RescaleSlope", 1)) + np.float32(ds.get("RescaleIntercept", 0))
        key = tuple(np.round(normal, 2))
        stacks.setdefault(key, []).append((distance, int(path.stem), pixels, [float(v) for v in ds.PixelSpacing]))
    for key, slices in stacks.items():
        slices.sort(key=lambda entry: entry[0])
        place.update({entry[1]: (key, index) for index, entry in enumerate(slices)})
    values = np.concatenate([entry[2].ravel() for slices in stacks.values() for entry in slices])
    low, high = np.percentile(values, [0.5, 99.5])
    return stacks, place, float(low), float(max(high - low, 1))


def read_study(root, study, points):
    """For each marked target the crop's surroundings, a half wider on all sides, as 0…1 floats."""
    series, crops = {}, {}
    for row in points:
        folder = root / row["series_id"]
        if row["series_id"] not in series:
            series[row["series_id"]] = read_series(folder)
        stacks, place, low, width = series[row["series_id"]]
        if int(row["instance_number"]) not in place:
            continue
        key, index = place[int(row["instance_number"])]
        slices = stacks[key]
        row_mm, column_mm = slices[index][3]
        side = 2 * PX
        step_x, step_y = SIZE_MM / PX / column_mm, SIZE_MM / PX / row_mm
        matrix = np.array([
            [step_x, 0, float(row["x"]) - step_x * (side - 1) / 2],
            [0, step_y, float(row["y"]) - step_y * (side - 1) / 2],
        ])
        picture = np.zeros((side, side, SLICES), np.float32)
        for channel in range(SLICES):
            other = index + channel - SLICES // 2
            if 0 <= other < len(slices):
                picture[..., channel] = cv2.warpAffine(
                    slices[other][2], matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                )
        name = f"{row['condition'].lower().replace(' ', '_')}_{row['level'].lower().replace('/', '_')}"
        crops[name] = np.clip((picture - low) / width, 0, 1)
    return crops


class Studies(torch.utils.data.Dataset):
    def __init__(self, root, names, tables, augment):
        self.names, self.augment = names, augment
        points, labels = tables
        self.labels = {name: labels.get(name, [-1] * 25) for name in names}
        self.crops = {name: read_study(root / name, name, points.get(name, [])) for name in names}
        steps = recipe(PX, True, JOB["augment"]).transforms[1:]
        self.transform = A.Compose([A.CenterCrop(PX, PX), *steps]) if augment else None
        self.mirrored = False

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        name = self.names[index]
        pictures, shown = np.zeros((25, SLICES, PX, PX), np.float32), np.zeros(25, bool)
        for number, target in enumerate(TARGETS):
            crop = self.crops[name].get(target)
            if crop is None:
                continue
            if target.startswith("right") != self.mirrored:
                crop = crop[:, ::-1]
            crop = np.ascontiguousarray(crop)
            if self.augment:
                crop = self.transform(image=crop)["image"]
            else:
                crop = crop[PX // 2 : PX // 2 + PX, PX // 2 : PX // 2 + PX]
            pictures[number], shown[number] = crop.transpose(2, 0, 1), True
        labels = np.where(shown, np.array(self.labels[name]), -1)
        return torch.from_numpy(pictures), torch.from_numpy(labels), torch.from_numpy(shown)


class Grader(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = networks.create(
            JOB["architecture"], in_chans=1, num_classes=0, drop_path_rate=JOB["drop_path_rate"]
        ).to(memory_format=torch.channels_last)
        width = self.backbone.num_features
        self.attention = nn.Sequential(nn.Linear(width, 128), nn.Tanh(), nn.Linear(128, 1))
        self.head = nn.Sequential(nn.Dropout(JOB["dropout"]), nn.Linear(width, 3))

    def forward(self, crops):
        count = len(crops)
        features = self.backbone(crops.reshape(count * SLICES, 1, PX, PX).contiguous(memory_format=torch.channels_last))
        features = features.view(count, SLICES, -1)
        weights = self.attention(features).softmax(1)
        return self.head((weights * features).sum(1))


def logits_of(graders, pictures, shown):
    logits = torch.zeros(len(pictures), 25, 3)
    for grader, group in zip(graders, GROUPS):
        here = torch.zeros_like(shown)
        here[:, group] = shown[:, group]
        if here.any():
            logits[here] = grader(pictures[here])
    return logits


def loss_of(logits, labels):
    weights = torch.tensor([1.0, 2.0, 4.0])
    log_p, parts = logits.log_softmax(-1), []
    weight = weights[labels.clamp_min(0)] * (labels >= 0)
    loss = -log_p.gather(2, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    for group in GROUPS:
        total = weight[:, group].sum()
        if total > 0:
            parts.append((loss[:, group] * weight[:, group]).sum() / total)
    canal, marked = log_p[:, :5], labels[:, :5]
    level = canal[..., 2].detach().masked_fill(marked < 0, -torch.inf).argmax(1, keepdim=True)
    severe = canal[..., 2].gather(1, level).squeeze(1)
    other = canal[..., :2].logsumexp(-1).gather(1, level).squeeze(1)
    any_weight = weight[:, :5].amax(1)
    if any_weight.sum() > 0:
        parts.append((-torch.where((marked == 2).any(1), severe, other) * any_weight).sum() / any_weight.sum())
    return torch.stack(parts).mean()


def batches(studies, shuffle, size):
    return torch.utils.data.DataLoader(
        studies, batch_size=size, shuffle=shuffle, num_workers=JOB["workers"], persistent_workers=False,
        drop_last=False,
    )


def tables(root):
    points, labels = {}, {}
    with open(root / "train_label_coordinates.csv") as file:
        for row in csv.DictReader(file):
            points.setdefault(row["study_id"], []).append(row)
    with open(root / "train.csv") as file:
        for row in csv.DictReader(file):
            labels[row["study_id"]] = [SEVERITIES[row[target]] for target in TARGETS]
    return points, labels


def train(root):
    start = time.perf_counter()
    studies = Studies(root / "train_images", JOB["training"], tables(root), True)
    judges = Studies(root / "train_images", JOB["validation"], tables(root), False)
    graders = nn.ModuleList(Grader() for _ in GROUPS)
    decayed = [weight for weight in graders.parameters() if weight.dim() > 1]
    others = [weight for weight in graders.parameters() if weight.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": JOB["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=JOB["lr"], foreach=True)
    steps = JOB["epochs"] * -(-len(studies) // JOB["batch"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    ready, epochs, validation_s, images = time.perf_counter(), [], 0.0, 0
    for _ in range(JOB["epochs"]):
        begin = time.perf_counter()
        graders.train()
        for pictures, labels, shown in batches(studies, True, JOB["batch"]):
            optimizer.zero_grad()
            loss = loss_of(logits_of(graders, pictures, shown), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(graders.parameters(), JOB["clip_norm"])
            optimizer.step()
            schedule.step()
            images += int(shown.sum()) * SLICES
        trained = time.perf_counter()
        epochs.append(trained - begin)
        graders.eval()
        with torch.inference_mode():
            for pictures, _, shown in batches(judges, False, 4 * JOB["batch"]):
                logits_of(graders, pictures, shown).softmax(-1).numpy()
        validation_s += time.perf_counter() - trained
        # what a resume needs
        torch.save({"model": graders.state_dict(), "optimizer": optimizer.state_dict()}, JOB["weights"])
    return {
        "decode_s": ready - start, "epochs_s": epochs, "validation_s": validation_s,
        "total_s": time.perf_counter() - start, "images": images,
    }


def predict(root):
    start = time.perf_counter()
    networks = [nn.ModuleList(Grader() for _ in GROUPS).eval() for _ in range(JOB["networks"])]
    for graders in networks:
        graders.load_state_dict(torch.load(JOB["weights"])["model"])
    studies = Studies(root / "train_images", JOB["predicted"], tables(root), False)
    sums = np.zeros((len(studies), 25, 3))
    images = 0
    with torch.inference_mode():
        for mirrored in (False, True):
            studies.mirrored = mirrored
            rows = []
            for pictures, _, shown in batches(studies, False, JOB["predict_batch"]):
                both = [logits_of(graders, pictures, shown).softmax(-1).numpy() for graders in networks]
                rows.append(np.mean(both, 0))
                images += 0 if mirrored else int(shown.sum()) * SLICES
            sums += np.concatenate(rows) / 2
    with open(JOB["submission"], "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row_id", "normal_mild", "moderate", "severe"])
        for name, table in zip(JOB["predicted"], sums):
            for number in sorted(range(25), key=lambda number: TARGETS[number]):
                writer.writerow([f"{name}_{TARGETS[number]}", *table[number]])
    return {"total_s": time.perf_counter() - start, "images": images}


def main():
    answer = {"train": train, "predict": predict}[JOB["task"]](Path(JOB["data"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({**answer, "peak_mb": peak / 1024}))


main()
