#!/usr/bin/env bash
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

usage() {
  cat <<EOF
usage: $0 N --config=FILE --workdir=DIR [--config.FIELD=VALUE ...] [OPTION ...]

Trains with N processes on this machine, which join as the hosts of a pod do. The devices are virtual ones of the CPU.

  --devices=K   devices of each process; default 1
  --logs=DIR    folder for the output of each process; default WORKDIR/logs, for a bucket ./logs. The first is also shown.
  --grace=S     when one process fails, seconds that the others have to end before they are killed; default 10
  --dry_run     print every command and run none
  --help        show this text

PYTHON names the interpreter; default python. Ctrl-C or SIGTERM once: all processes save and end with status 0. Twice: they are killed.
EOF
}

devices=1 grace=10 logs=""
parse devices logs grace -- "$@"
((${#positional[@]} == 1)) || die "give one number of processes, not '${positional[*]-}'"
count=${positional[0]}
[[ $count =~ ^[1-9][0-9]*$ ]] || die "the number of processes is '$count', not a positive integer"
need config workdir
need_number devices grace
if [[ -z $logs ]]; then
  logs=logs
  [[ $workdir == *://* ]] || logs=${workdir/#"~/"/"$HOME/"}/logs
fi

# A port that nothing listens on. Another program could take it before the first process does; then all of them fail at once.
port=$((20000 + RANDOM % 12000)) # below those that systems give to outgoing connections
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
  port=$((20000 + RANDOM % 12000))
done

command=(
  env
  JAX_PLATFORMS=cpu
  "XLA_FLAGS=${XLA_FLAGS:+$XLA_FLAGS }--xla_force_host_platform_device_count=$devices"
  "JAX_COORDINATOR_ADDRESS=127.0.0.1:$port"
  "JAX_NUM_PROCESSES=$count"
  PYTHONUNBUFFERED=1
  NPROC=64 # threads of XLA's pool: sums over virtual devices block them, and with one for each core they could wait for each other for ever
)
if [[ -n ${grpc_proxy:-}${https_proxy:-}${http_proxy:-} ]]; then # gRPC would connect to the coordinator through the proxy
  command+=("no_proxy=127.0.0.1${no_proxy:+,$no_proxy}")
fi
train=("${PYTHON:-python}" -m oasis_jax.main "${train_flags[@]}")

run mkdir -p "$logs"
if $dry_run; then
  for ((i = 0; i < count; i++)); do
    printf '%s >>%q 2>&1 &\n' "$(quoted "${command[@]}" "JAX_PROCESS_ID=$i" "${train[@]}")" "$logs/process_$i.log"
  done
  exit
fi

pids=()
signals=0
signal_all() {
  kill "-$1" "${pids[@]}" 2>/dev/null || true
}
# shellcheck disable=SC2329 # the trap calls it
on_signal() {
  signals=$((signals + 1))
  if ((signals == 1)); then
    echo "${0##*/}: all processes save and end; once more to kill them" >&2
    signal_all TERM
  else
    signal_all KILL
  fi
}
trap on_signal INT TERM
trap 'signal_all KILL' EXIT

for ((i = 0; i < count; i++)); do
  log=$logs/process_$i.log
  if ((i == 0)); then
    "${command[@]}" "JAX_PROCESS_ID=$i" "${train[@]}" > >(trap '' INT TERM && exec tee -a "$log") 2>&1 &
  else
    "${command[@]}" "JAX_PROCESS_ID=$i" "${train[@]}" >>"$log" 2>&1 &
  fi
  pids+=("$!")
done

# Ctrl-C is sent to all processes of the terminal, but those that a script starts in the background ignore it: only the trap passes it on.
status=0
deadline=0
running=("${pids[@]}")
while ((${#running[@]} > 0)); do
  still=()
  for pid in "${running[@]}"; do
    if kill -0 "$pid" 2>/dev/null; then
      still+=("$pid")
      continue
    fi
    code=0
    wait "$pid" || code=$?
    if ((code != 0 && status == 0)); then
      status=$code
      if ((signals == 0)); then
        echo "${0##*/}: a process has failed with status $code, the others are ended; see $logs" >&2
        signal_all TERM
      fi
      deadline=$((SECONDS + grace))
    fi
  done
  if ((deadline > 0 && SECONDS >= deadline)); then
    signal_all KILL
  fi
  running=(${still[@]+"${still[@]}"})
  sleep 0.2 &
  wait "$!" || true # a signal ends `wait` at once, but the shell may miss one that comes while it runs a command
done
trap - EXIT
exit "$status"
