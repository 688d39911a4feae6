"""Converts every series of a phantom with dcm2niix.

Argument: {"folder": ...}. Answer: DICOM files there, slices in the NIfTI volumes, distinct lines of warning or error.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import dcm2niix
import nibabel

folder = Path(json.loads(sys.argv[1])["folder"])
files, slices, complaints = 0, 0, set()
for series in sorted(folder.glob("*_images/*/*")):
    files += len(list(series.glob("*.dcm")))
    with tempfile.TemporaryDirectory() as out:
        run = subprocess.run(
            [dcm2niix.bin, "-b", "n", "-f", "%j", "-o", out, str(series)], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr
        for line in (run.stdout + run.stderr).splitlines():
            if "warning" in line.lower() or "error" in line.lower():
                complaints.add(line.split("/")[0].strip())
        slices += sum(nibabel.load(path).shape[2] for path in Path(out).glob("*.nii*"))
print(json.dumps({"files": files, "slices": slices, "complaints": sorted(complaints)}))
