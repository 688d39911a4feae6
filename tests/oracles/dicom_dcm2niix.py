"""What dcm2niix makes of a folder of DICOM files.

Input: {"folder": path}. Output: {"volumes": [{"shape": [columns, rows, slices], "affine": 4 × 4 matrix from
(column, row, slice) of the NIfTI volume to RAS mm}], "says": the lines in which it warns}.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import dcm2niix
import nibabel


def main():
    folder = json.loads(sys.argv[1])["folder"]
    with tempfile.TemporaryDirectory() as out:
        run = subprocess.run(
            [dcm2niix.bin, "-b", "n", "-f", "%j_%s", "-o", out, folder], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr
        images = [nibabel.load(path) for path in sorted(Path(out).glob("*.nii*"))]
        volumes = [{"shape": list(image.shape), "affine": image.affine.tolist()} for image in images]
    says = [line for line in (run.stdout + run.stderr).splitlines() if "warning" in line.lower()]
    print(json.dumps({"volumes": volumes, "says": says}))


main()
