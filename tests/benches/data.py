"""The peer of data.rs: albumentations 2.0.8 on OpenCV, one thread, the recipe of AugmentConfig::default().

Two orders: augmentations on the picture and then the resize, as the competition's recipe writes it; and the
resize first, which is quicker and gives up on sharpness. Prints crops per second of processor time as JSON.
"""

import json
import sys
import time

import albumentations as A
import cv2
import numpy as np

cv2.setNumThreads(1)
SOURCE = 384


# AugmentConfig::default()
DEFAULT = {
    "mirror_p": 0.5,
    "affine": {"p": 0.8, "shift": 0.15, "scale": 0.25, "rotate_deg": 30},
    "distortion": {"p": 0.5, "grid_bands": 5, "grid": 0.3, "optical": 0.05},
    "tone": {"p": 0.5, "brightness": 0.4, "contrast": 0.25, "gamma_p": 0.3, "gamma_log2": 0.5},
    "filter": {"p": 0.5, "sigma_px": 1.5, "motion_px": 7, "noise_std": 0.1},
    "dropout": {"p": 0.5},
}


def recipe(side, resize_first, config=DEFAULT):
    resize = A.Resize(side, side)
    affine, distortion, tone, filters = (config[name] for name in ("affine", "distortion", "tone", "filter"))
    gamma = [100 * 2 ** (sign * tone["gamma_log2"]) for sign in (-1, 1)]
    steps = [
        (config["mirror_p"], A.HorizontalFlip(p=config["mirror_p"])),
        (
            affine["p"],
            A.Affine(
                translate_percent=(-affine["shift"], affine["shift"]),
                scale=(1 - affine["scale"], 1 + affine["scale"]),
                rotate=(-affine["rotate_deg"], affine["rotate_deg"]),
                border_mode=cv2.BORDER_REFLECT_101,
                p=affine["p"],
            ),
        ),
        (
            distortion["p"],
            A.OneOf(
                [
                    A.OpticalDistortion(distort_limit=distortion["optical"], mode="camera"),
                    A.OpticalDistortion(distort_limit=distortion["optical"], mode="fisheye"),
                    A.GridDistortion(num_steps=distortion["grid_bands"], distort_limit=distortion["grid"]),
                ],
                p=distortion["p"],
            ),
        ),
        (
            tone["p"],
            A.RandomBrightnessContrast(
                brightness_limit=tone["brightness"], contrast_limit=tone["contrast"], p=tone["p"]
            ),
        ),
        (tone["gamma_p"], A.RandomGamma(gamma_limit=tuple(round(limit) for limit in gamma), p=tone["gamma_p"])),
        (
            filters["p"],
            A.OneOf(
                [
                    A.GaussianBlur(sigma_limit=(0.5, filters["sigma_px"]), blur_limit=0),
                    A.MotionBlur(blur_limit=(3, filters["motion_px"])),
                    A.MedianBlur(blur_limit=(3, 5)),
                    A.GaussNoise(std_range=(filters["noise_std"] / 10, filters["noise_std"])),
                ],
                p=filters["p"],
            ),
        ),
    ]
    steps = [step for p, step in steps if p > 0]
    last = [A.Normalize(mean=0.5, std=0.5, max_pixel_value=1.0)]
    if config["dropout"]["p"] > 0:
        dropout = A.CoarseDropout(
            num_holes_range=(1, 8), hole_height_range=(0.05, 0.2), hole_width_range=(0.05, 0.2), fill=0,
            p=config["dropout"]["p"],
        )
        last.insert(0, dropout)
    return A.Compose([resize, *steps, *last] if resize_first else [*steps, resize, *last])


def picture():
    y, x = np.mgrid[:SOURCE, :SOURCE]
    tissue = 600 + 300 * np.sin(x / 17) * np.cos(y / 23)
    return ((tissue + (np.arange(SOURCE * SOURCE).reshape(SOURCE, SOURCE) * 7919) % 101) / 1100).astype(np.float32)


def rate(side, resize_first, seconds):
    transform, image = recipe(side, resize_first), picture().clip(0, 1)[..., None]
    for _ in range(20):
        transform(image=image)
    start, count = time.thread_time(), 0
    while time.thread_time() - start < seconds:
        transform(image=image)
        count += 1
    return count / (time.thread_time() - start)


def main():
    seconds = float(sys.argv[1])
    orders = {"augment_then_resize": False, "resize_then_augment": True}
    rates = {name: {side: rate(side, first, seconds) for side in (96, 224)} for name, first in orders.items()}
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
