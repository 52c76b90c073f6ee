#!/usr/bin/env bash
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

usage() {
  cat <<EOF
usage: $0 train --workload=NAME --cluster=CLUSTER --config=FILE --workdir=gs://BUCKET/FOLDER [--config.FIELD=VALUE ...] [OPTION ...]
       $0 list | delete --workload=NAME --cluster=CLUSTER [OPTION ...]

Trains on TPUs of a GKE cluster, by xpk (pip install xpk), which queues the workload and starts it again after a preemption.

  --workload=NAME      or XPK_WORKLOAD
  --cluster=CLUSTER    made by \`xpk cluster create\`; or XPK_CLUSTER
  --zone=ZONE          or XPK_ZONE; default that of gcloud
  --project=PROJECT    or XPK_PROJECT; default that of gcloud
  --tpu_type=TYPE      or XPK_TPU_TYPE; default v5litepod-16
  --num_slices=N       default 1
  --image=IMAGE        an image in whose working directory this project is installed; default: this checkout is copied into
                       --base_image and installed when the workload starts
  --base_image=IMAGE   default python:3.12
  --priority=LEVEL     very-low, low, medium, high or very-high; default medium
  --max_restarts=N     default 10; failures count like preemptions, because JobSet cannot tell them apart
  --grace=S            seconds that a preempted pod has to save; default 180
  --dry_run            print every command and run none
  --help               show this text
EOF
}

workload=${XPK_WORKLOAD:-} cluster=${XPK_CLUSTER:-} zone=${XPK_ZONE:-} project=${XPK_PROJECT:-}
tpu_type=${XPK_TPU_TYPE:-v5litepod-16} num_slices=1 image="" base_image=python:3.12 priority=medium max_restarts=10 grace=180
parse workload cluster zone project tpu_type num_slices image base_image priority max_restarts grace -- "$@"
((${#positional[@]} == 1)) || die "give one command, not '${positional[*]-}'"
need workload cluster
need_number num_slices grace
need_count max_restarts

place=(--cluster="$cluster")
[[ -z $zone ]] || place+=(--zone="$zone")
[[ -z $project ]] || place+=(--project="$project")

train() {
  local files start=""
  if [[ -n $image ]]; then
    files=(--docker-image="$image")
  else
    files=(--base-docker-image="$base_image" --script-dir="$(cd "$(dirname "$0")/.." && pwd)")
    start='pip install --quiet --editable ".[tpu]" && '
  fi
  # A pod that saves and ends with status 0 would count as complete. attempt.sh exits with 75 instead, and xpk restarts on it; `exec` lets
  # SIGTERM reach it.
  start+="exec bash launch/attempt.sh $(quoted python -m oasis_jax.main "${train_flags[@]}")"
  run xpk workload create --workload="$workload" "${place[@]}" --tpu-type="$tpu_type" --num-slices="$num_slices" "${files[@]}" \
    --priority="$priority" --max-restarts="$max_restarts" --restart-on-user-code-failure --termination-grace-period-seconds="$grace" \
    --command="$start"
}

case ${positional[0]} in
  train)
    need_bucket
    train
    ;;
  list) run xpk workload list "${place[@]}" --filter-by-job="$workload" ;;
  delete) run xpk workload delete --workload="$workload" "${place[@]}" ;;
  *) die "unknown command ${positional[0]}" ;;
esac
