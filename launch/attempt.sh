#!/usr/bin/env bash
# attempt.sh COMMAND...: runs a training command and tells by its exit status how it ended, for launchers that start it again:
#   0   it has finished
#   75  it was stopped and has saved (EX_TEMPFAIL of sysexits.h): the same command resumes
#   *   as the command
# A run that was stopped exits with 0 and prints a line that begins with "stopped by". SIGTERM is passed on.
set -euo pipefail

(($# > 0)) || {
  echo "usage: ${0##*/} COMMAND..." >&2
  exit 2
}
output=$(mktemp)
trap 'rm -f "$output"' EXIT
# tee must outlive the signals that a scheduler sends to all processes of a job: the command still prints.
exec 3> >(trap '' INT TERM && exec tee "$output")
tee=$!
PYTHONUNBUFFERED=1 "$@" >&3 &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM
status=0
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do # a signal ends `wait`, but not the command
  status=0
  wait "$child" || status=$?
done
exec 3>&-
wait "$tee" || true
if ((status == 0)) && grep -q '^stopped by ' "$output"; then
  status=75
fi
exit "$status"
