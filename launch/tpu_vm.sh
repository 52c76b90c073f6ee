#!/usr/bin/env bash
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

usage() {
  cat <<EOF
usage: $0 COMMAND --name=NAME --zone=ZONE [OPTION ...]
       $0 watch --name=NAME --zone=ZONE --config=FILE --workdir=gs://BUCKET/FOLDER [--config.FIELD=VALUE ...] [OPTION ...]

Trains on a Cloud TPU that is requested as a queued resource.

  watch     all of the following, again after every preemption, until the run has finished; then delete the TPU yourself
  create    request the TPU and wait until it is there
  install   copy the last commit of this checkout to all workers and install it
  train     start the training on all workers, in the background
  tail      follow the output of one worker
  status    state of the request, and of the training on each worker
  stop      have the training save and end
  delete    delete the TPU and its request

  --name=NAME              of the request and of the TPU; or TPU_NAME
  --zone=ZONE              or TPU_ZONE
  --project=PROJECT        or TPU_PROJECT; default that of gcloud
  --accelerator_type=TYPE  or TPU_TYPE; default v5litepod-16
  --runtime_version=V      default the one for the accelerator type
  --capacity=KIND          spot, on_demand or reserved; default spot
  --worker=I               whose output \`tail\` follows; default 0
  --poll=S                 seconds between two looks at a state; default 60
  --max_restarts=N         how often \`watch\` starts again; default 100
  --dry_run                print every command and run none
  --help                   show this text
EOF
}

name=${TPU_NAME:-} zone=${TPU_ZONE:-} project=${TPU_PROJECT:-} accelerator_type=${TPU_TYPE:-v5litepod-16}
runtime_version="" capacity=spot worker=0 poll=60 max_restarts=100
parse name zone project accelerator_type runtime_version capacity worker poll max_restarts -- "$@"
((${#positional[@]} == 1)) || die "give one command, not '${positional[*]-}'"
command=${positional[0]}
need name zone
need_number poll
need_count max_restarts
[[ $worker =~ ^[0-9]+$ ]] || die "--worker=$worker is not the number of a worker"

place=(--zone="$zone")
[[ -z $project ]] || place+=(--project="$project")
queue=(gcloud compute tpus queued-resources)
ssh=(gcloud compute tpus tpu-vm ssh "$name" "${place[@]}")
describe=("${queue[@]}" describe "$name" "${place[@]}" "--format=value(state.state)")
on_all=("${ssh[@]}" --worker=all)

# What the workers run. Their shell splits words again, so what comes from options is quoted for it.
# shellcheck disable=SC2016 # to be expanded there
installing='set -e
mkdir -p oasis_jax
tar -xzf oasis_jax.tar.gz -C oasis_jax
cd oasis_jax
PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv
python3 -m uv venv --quiet --allow-existing --python=3.12 .venv
python3 -m uv pip install --quiet --python=.venv/bin/python --editable ".[tpu]"'
# shellcheck disable=SC2016
reporting='if [ -e exit_status ]; then echo "training=$(cat exit_status)"
elif [ -e pid ] && kill -0 "$(cat pid)" 2>/dev/null; then echo training=running
else echo training=absent; fi'
# shellcheck disable=SC2016
stopping='kill -TERM "$(cat oasis_jax/pid)"'

# A checksum of the training command: a worker remembers which training its state is of.
tag() {
  quoted "${train_flags[@]}" | cksum | tr ' ' -
}

# How a training stands on a worker; with --config, only that one.
# shellcheck disable=SC2016 # to be expanded there
report() {
  if [[ -n $config ]]; then
    printf 'cd oasis_jax 2>/dev/null || true\nif [ "$(cat tag 2>/dev/null)" != %s ]; then echo training=absent\nelse\n%s\nfi\n' "$(tag)" "$reporting"
  else
    printf 'cd oasis_jax 2>/dev/null || true\n%s\n' "$reporting"
  fi
}

starting() {
  local inner
  inner="bash launch/attempt.sh $(quoted .venv/bin/python -m oasis_jax.main "${train_flags[@]}") >>train.log 2>&1 &
echo \$! >pid
wait \$!
echo \$? >exit_status"
  cat <<EOF
cd oasis_jax || exit
if [ -e pid ] && kill -0 "\$(cat pid)" 2>/dev/null; then
  echo "a training is running already: stop it first" >&2
  exit 1
fi
rm -f exit_status
echo $(tag) >tag
nohup bash -c $(printf %q "$inner") >/dev/null 2>&1 </dev/null &
EOF
}

runtime() {
  case $accelerator_type in
    v6e-*) echo v2-alpha-tpuv6e ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v[234]-*) echo tpu-ubuntu2204-base ;;
    *) die "no default runtime version for --accelerator_type=$accelerator_type: write --runtime_version=VERSION" ;;
  esac
}

request() {
  local kind=()
  case $capacity in
    spot) kind=(--spot) ;;
    reserved) kind=(--reserved) ;;
    on_demand) ;;
    *) die "--capacity=$capacity is none of spot, on_demand and reserved" ;;
  esac
  [[ -n $runtime_version ]] || runtime_version=$(runtime) || exit 2 # `die` has only left the subshell
  run "${queue[@]}" create "$name" "${place[@]}" --node-id="$name" --accelerator-type="$accelerator_type" \
    --runtime-version="$runtime_version" ${kind[@]+"${kind[@]}"}
}

# The state of the request; MISSING if there is none, UNKNOWN if it could not be asked for.
state() {
  local answer
  if answer=$("${describe[@]}" 2>&1); then
    printf '%s\n' "${answer##*$'\n'}"
  elif [[ $answer == *NOT_FOUND* ]]; then
    echo MISSING
  else
    printf '%s\n' "$answer" >&2
    echo UNKNOWN
  fi
}

wait_until_active() {
  local now
  if $dry_run; then
    run "${describe[@]}"
    return
  fi
  while true; do
    now=$(state)
    echo "$name is $now" >&2
    case $now in
      ACTIVE) return ;;
      FAILED | SUSPENDED | MISSING)
        echo "$name has not become active: delete it and try again, or use another zone or capacity" >&2
        return 1
        ;;
    esac
    sleep "$poll"
  done
}

install() {
  local archive=${TMPDIR:-/tmp}/oasis_jax_$name.tar.gz
  # The first connection creates keys, the next one spreads them: without it, some workers of a pod refuse the copy.
  run git -C "$(dirname "$0")/.." archive --format=tar.gz --output="$archive" HEAD &&
    run "${ssh[@]}" --worker=0 --command=true &&
    run "${on_all[@]}" --command=true &&
    run gcloud compute tpus tpu-vm scp "$archive" "$name:oasis_jax.tar.gz" "${place[@]}" --worker=all &&
    run "${on_all[@]}" --command="$installing"
}

train() {
  run "${on_all[@]}" --command="$(starting)"
}

# How the training stands: running, finished, stopped, failed, absent on some worker, or unreachable.
outcome() {
  local answer
  answer=$("${on_all[@]}" --command="$(report)" 2>/dev/null | grep -ao 'training=[a-z0-9]*') || {
    echo unreachable
    return
  }
  case $answer in # also when the workers do not agree: while one runs, the training runs
    *running*) echo running ;;
    *absent*) echo absent ;;
    *)
      if grep -qvE '=(0|75)$' <<<"$answer"; then
        echo failed
      elif grep -q '=75$' <<<"$answer"; then
        echo stopped
      else
        echo finished
      fi
      ;;
  esac
}

restart() {
  restarts=$((restarts + 1))
  if ((restarts > max_restarts)); then
    echo "$name was started again $max_restarts times: see $0 tail; set a larger --max_restarts" >&2
    exit 1
  fi
}

# Runs a command; if it fails, as a connection may for a while, the next look at the state leads to the next try.
try() {
  "$@" || echo "that failed; next try in $poll seconds" >&2
}

watch() {
  local restarts=0 seen_alive=false now ended
  while true; do
    now=$(state)
    echo "$name is $now" >&2
    case $now in
      MISSING) try request ;;
      # A preempted TPU does not come back: its request has to be made again.
      SUSPENDED | FAILED)
        restart
        try delete
        try request
        ;;
      ACTIVE)
        ended=$(outcome)
        echo "the training is $ended" >&2
        # A training that failed before this watch began is started again: its cause may have been fixed.
        if [[ $ended == failed ]] && ! $seen_alive; then ended=absent; fi
        case $ended in
          running) seen_alive=true ;;
          absent)
            if install && train; then
              seen_alive=true
            else # such as before the first connection is possible
              echo "the training could not be started; next try in $poll seconds" >&2
              restart
            fi
            ;;
          stopped)
            restart
            try train
            ;;
          finished) return ;;
          failed)
            echo "the training has failed: see $0 tail; fix the cause, then watch again" >&2
            return 1
            ;;
        esac
        ;;
    esac
    sleep "$poll"
  done
}

show_watch() {
  run "${describe[@]}"
  echo "# if there is no request:"
  request
  echo "# if the TPU is active and the training was not started on it:"
  install
  train
  echo "# while the TPU is active; if the training was stopped, it is started again:"
  run "${on_all[@]}" --command="$(report)"
  echo "# if the TPU was preempted:"
  delete
  request
}

delete() {
  run "${queue[@]}" delete "$name" "${place[@]}" --force --quiet
}

case $command in
  create)
    request
    wait_until_active
    ;;
  install) install ;;
  train)
    need_bucket
    train
    ;;
  tail) run "${ssh[@]}" --worker="$worker" --command="tail -n 100 -F oasis_jax/train.log" ;;
  status)
    run "${describe[@]}"
    run "${on_all[@]}" --command="$(report)"
    ;;
  stop) run "${on_all[@]}" --command="$stopping" ;;
  watch)
    need_bucket
    if $dry_run; then show_watch; else watch; fi
    ;;
  delete) delete ;;
  *) die "unknown command $command" ;;
esac
