"""Applies one transform to a picture with OpenCV, albumentations or torch; answers with the flat result."""

import json
import sys

import cv2
import numpy as np

request = json.loads(sys.argv[1])
image = np.array(request["image"], np.float32).reshape(request["height"], request["width"])
height, width = image.shape
kind = request["kind"]

if kind == "grid_sample":
    import torch

    # in float64: the reference is exact
    x, y = np.meshgrid(np.arange(request["out_width"]), np.arange(request["out_height"]))
    (a, b, c), (d, e, f) = request["matrix"]
    sx, sy = a * x + b * y + c, d * x + e * y + f
    grid = np.stack([2 * sx / (width - 1) - 1, 2 * sy / (height - 1) - 1], -1)[None]
    out = torch.nn.functional.grid_sample(
        torch.from_numpy(image.astype(np.float64))[None, None],
        torch.from_numpy(grid),
        mode="bilinear",
        padding_mode=request["padding"],
        align_corners=True,
    )[0, 0].numpy()
elif kind == "warp_affine":
    matrix = np.array(request["matrix"], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
elif kind in ("camera", "fisheye", "grid"):
    from albumentations.augmentations.geometric import functional as F

    if kind == "camera":
        map_x, map_y = F.get_camera_matrix_distortion_maps((height, width), request["k"])
    elif kind == "fisheye":
        map_x, map_y = F.get_fisheye_distortion_maps((height, width), request["k"])
    else:
        bands = len(request["x_steps"]) - 1
        steps = F.normalize_grid_distortion_steps((height, width), bands, request["x_steps"], request["y_steps"])
        map_x, map_y = F.generate_grid((height, width), steps["steps_x"], steps["steps_y"], bands)
    out = np.stack([map_x, map_y])
elif kind == "gaussian":
    from albumentations.augmentations.blur import functional as B

    kernel = B.create_gaussian_kernel_1d(request["sigma"])
    out = cv2.sepFilter2D(image.astype(np.float64), -1, kernel, kernel)
elif kind == "motion":
    import random

    from albumentations.augmentations.blur import functional as B

    kernel = B.create_motion_kernel(request["length"], request["angle"], 0, False, random.Random(0))
    out = cv2.filter2D(image.astype(np.float64), -1, kernel / kernel.sum())
elif kind == "median":
    out = cv2.medianBlur(image, request["size"])
elif kind == "tone":
    stretched = np.clip(image.astype(np.float64) * (1 + request["contrast"]) + request["brightness"], 0, 1)
    out = stretched ** request["gamma"]
elif kind == "bias":
    coefficients = np.array(request["coefficients"], np.float64)
    field = np.polynomial.legendre.leggrid2d(np.linspace(-1, 1, width), np.linspace(-1, 1, height), coefficients)
    out = np.clip(image * np.exp(field.T), 0, 1)
elif kind == "flip":
    import albumentations as A

    out = A.HorizontalFlip(p=1)(image=image)["image"]
elif kind == "dropout":
    from albumentations.augmentations.dropout import functional as D

    holes = np.array([[h["x"], h["y"], h["x"] + h["width"], h["y"] + h["height"]] for h in request["holes"]])
    out = D.cutout(image.copy(), holes, request["value"], np.random.default_rng(0))
else:
    raise SystemExit(f"no such transform: {kind}")
print(json.dumps(np.asarray(out, np.float64).ravel().tolist()))
