"""Shared by make.py (code of 4062c04) and check.py (later code): runs, their recipes, inputs."""
import json, os, subprocess, sys, signal, time, shutil, csv
from pathlib import Path
GATE = Path(__file__).resolve().parent
PY = "/work/main/.venv/bin/python"
KINDS = {}
TINY_NET = "network.depth=2 network.filters=[4,6] network.kernels=[3,3] self_training.network.depth=2 self_training.network.filters=[4,6] self_training.network.kernels=[3,3]".split()
STEPS = "training.batch_size=4 training.steps=12 training.evaluate_every=4 training.checkpoint_every=2 self_training.steps=8".split()
KINDS["binary"] = ("mri_carcinoma", "data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 organ.rim=0.0".split() + TINY_NET + STEPS, None)
KINDS["classes"] = ("ct_haemorrhage", "data.side=32 data.cohort.patients=12 data.cohort.slices=5 data.cohort.side=56 self_training.teacher=first_network".split() + TINY_NET + STEPS, None)
KINDS["attribution"] = (str(GATE / "data" / "rings.yaml"), [], str(GATE / "data" / "rings"))
KILLS = {"binary": {"first": ("image-labels", 6), "later": ("self-training-1", 4)},
         "classes": {"first": ("image-labels", 6), "later": ("self-training-1", 4)},
         "attribution": {"first": ("classifiers", 6), "later": ("self-training-1", 4)}}

def environment(code, cache):
    return {**os.environ, "PYTHONPATH": str(code), "TF_CPP_MIN_LOG_LEVEL": "3", "CLAMNET_TF_CACHE": str(cache), "MPLBACKEND": "Agg", "KERAS_BACKEND": "tensorflow"}

def cli(*arguments):
    return [PY, "-m", "clamnet_tf", *map(str, arguments)]

def fit(kind, out, *more):
    recipe, sets, data = KINDS[kind]
    return cli("fit", recipe, "--out", out, *(["--data", data] if data else []), *(p for s in sets for p in ("--set", s)), *more)
