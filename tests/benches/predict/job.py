"""What the peer is asked for, the config of its run, and its threads."""
import json
import os
import sys
import tomllib
from pathlib import Path

JOB = json.loads(sys.argv[1])
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(JOB["threads"])

import cv2
import torch

torch.set_num_threads(JOB["threads"])
cv2.setNumThreads(JOB["threads"])

LEVELS, MAPS, CLASSES = 5, 11, 3
# canal, left foramen, right foramen, left recess, right recess: five levels each, as in `Target::ALL`
LEFT = (False, True, False, True, False)
GROUPS = ("canal", "foramen", "foramen", "recess", "recess")
SERIES = ("t2", "t1", "t1", "axial", "axial")
RUN = Path(JOB["run"])
CONFIG = tomllib.loads((RUN / "run.toml").read_text())
LOCATE, CROPS = CONFIG["locate"]["task"], CONFIG["task"]["crops"]
SOURCE, CROP = LOCATE["source"], CROPS["source"]["crop"]
assert CROP["slices"] == 1 and CROPS["level"]["input"] == "single" and CROPS["level"]["heads"] == 1
