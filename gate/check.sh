#!/usr/bin/env bash
# Does a later tree keep what 4062c04 made? /tmp/gate/check.sh TREE [hashes maps runs old-runs predict]   (all parts without a list)
# runs: resumes copies of the killed folders and compares weights; old-runs: `evaluate` of finished folders; predict: masks.
set -u
exec nice -n "${GATE_NICE:-12}" /work/main/.venv/bin/python "$(dirname "$0")/check.py" "$@"
