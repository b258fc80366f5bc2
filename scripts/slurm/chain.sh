#!/bin/bash
# Submit the whole chain, each job after the one that it needs:
#   CORPUS=path/to/LibriSpeech WORK=path/to/work scripts/slurm/chain.sh [PARTS [VECTOR_SIZE...]]
# TRAIN_OPTIONS goes to the sbatch of each training, PRESET to its speech2vec train: TRAIN_OPTIONS="--gres=gpu:1"
# PRESET=large-batch.
set -euo pipefail
: "${CORPUS:?the corpus to align}" "${WORK:?folder for what is made}"
parts=${1:-16}
sizes=("${@:2}")
[ ${#sizes[@]} -gt 0 ] || sizes=(50 100 200 300)
here=$(dirname "$0")
mkdir -p "$WORK"
export CORPUS WORK
submit() { sbatch --parsable --export=ALL "$@" | cut -d';' -f1; }

align=$(submit --array="1-$parts" "$here/align.sbatch")
aligned=$(submit --dependency="afterok:$align" "$here/align-merge.sbatch")
features=$(submit --dependency="afterok:$aligned" --array=1-4 "$here/features.sbatch")
store=$(submit --dependency="afterok:$features" "$here/features-merge.sbatch")
for size in "${sizes[@]}"; do
    # shellcheck disable=SC2086  # several options
    RUN="speech2vec-$size" submit --dependency="afterok:$store" ${TRAIN_OPTIONS:-} \
        "$here/train.sbatch" --preset "${PRESET:-default}" --vector-size "$size"
done
