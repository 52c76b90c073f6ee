# Sourced by the launchers: errors, options, and commands that --dry_run prints instead of running.
# shellcheck shell=bash disable=SC2034

dry_run=false
config="" workdir=""
train_flags=()  # --config, --workdir and --config.FIELD, as the training command takes them
positional=()

die() {
  printf '%s: %s; see %s --help\n' "${0##*/}" "$1" "$0" >&2
  exit 2
}

# Prints a command, quoted so that it can be pasted into a shell.
quoted() {
  printf '%q' "$1"
  shift
  (($# == 0)) || printf ' %q' "$@"
  printf '\n'
}

# Runs a command and shows it; with --dry_run only prints it.
run() {
  if $dry_run; then
    quoted "$@"
  else
    quoted "$@" >&2
    "$@"
  fi
}

# parse NAME... -- ARGUMENT...: --NAME=VALUE sets the variable NAME, for these names only; see also the variables above.
parse() {
  local names=" " option argument
  while [[ $1 != -- ]]; do
    names+="$1 "
    shift
  done
  shift
  for argument in "$@"; do
    option=${argument%%=*}
    option=${option#--}
    case $argument in
      --help)
        usage
        exit 0
        ;;
      --dry_run) dry_run=true ;;
      --config=?* | --workdir=?*)
        printf -v "$option" %s "${argument#*=}"
        train_flags+=("$argument")
        ;;
      --config.?*=*) train_flags+=("$argument") ;;
      --*)
        [[ "$names config workdir " == *" $option "* || $option == config.* ]] || die "unknown option --$option"
        [[ $argument == --*=?* ]] || die "--$option needs a value: write --$option=VALUE"
        printf -v "$option" %s "${argument#*=}"
        ;;
      *) positional+=("$argument") ;;
    esac
  done
}

# need NAME...: an error for the first option without a value.
need() {
  local option
  for option in "$@"; do
    [[ -n ${!option} ]] || die "--$option is missing: write --$option=VALUE"
  done
}

# need_number NAME...: an error for the first option that is not a positive integer.
need_number() {
  local option
  for option in "$@"; do
    [[ ${!option} =~ ^[1-9][0-9]*$ ]] || die "--$option=${!option} is not a positive integer"
  done
}

# need_count NAME...: an error for the first option that is not a whole number, 0 or more.
need_count() {
  local option
  for option in "$@"; do
    [[ ${!option} =~ ^(0|[1-9][0-9]*)$ ]] || die "--$option=${!option} is not a whole number, 0 or more"
  done
}

# An error unless all hosts can read and write the workdir.
need_bucket() {
  need config workdir
  [[ $workdir == gs://?* ]] || die "--workdir=$workdir is not in a bucket, and the hosts share no disk: write --workdir=gs://BUCKET/FOLDER"
}
