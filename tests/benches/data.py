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


def recipe(side, resize_first):
    resize = A.Resize(side, side)
    steps = [
        A.HorizontalFlip(p=0.5),
        A.Affine(
            translate_percent=(-0.15, 0.15),
            scale=(0.75, 1.25),
            rotate=(-30, 30),
            border_mode=cv2.BORDER_REFLECT_101,
            p=0.8,
        ),
        A.OneOf(
            [
                A.OpticalDistortion(distort_limit=0.05, mode="camera"),
                A.OpticalDistortion(distort_limit=0.05, mode="fisheye"),
                A.GridDistortion(num_steps=5, distort_limit=0.3),
            ],
            p=0.5,
        ),
        A.RandomBrightnessContrast(brightness_limit=0.4, contrast_limit=0.25, p=0.5),
        A.RandomGamma(gamma_limit=(71, 141), p=0.3),
        A.OneOf(
            [
                A.GaussianBlur(sigma_limit=(0.5, 1.5), blur_limit=0),
                A.MotionBlur(blur_limit=(3, 7)),
                A.MedianBlur(blur_limit=(3, 5)),
                A.GaussNoise(std_range=(0.01, 0.1)),
            ],
            p=0.5,
        ),
    ]
    dropout = A.CoarseDropout(
        num_holes_range=(1, 8), hole_height_range=(0.05, 0.2), hole_width_range=(0.05, 0.2), fill=0, p=0.5
    )
    last = [dropout, A.Normalize(mean=0.5, std=0.5, max_pixel_value=1.0)]
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
