# shellcheck shell=bash
# Steps a person can follow: what is done, how long it takes and, when it fails, why and what to do.
#
#   run_step TITLE ADVICE COMMAND...   runs COMMAND with its output in a log, shown only if it fails
#   run_step_aloud TITLE ADVICE COMMAND...   the same, with its output shown as it comes
#   say, warn, fail                    lines of one's own
#
# COMMAND runs in a subshell under `set -e`: functions that must set variables for others are called without run_step.

steps_began=$SECONDS
# Where the steps' logs go; until it is set, a temporary directory.
steps_log_dir=

steps_terminal=
if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then steps_terminal=1; fi

duration() { # seconds
  if (($1 < 60)); then echo "${1}s"; else printf '%dm%02ds\n' $(($1 / 60)) $(($1 % 60)); fi
}

say() { printf '[%6s] %s\n' "$(duration $((SECONDS - steps_began)))" "$*"; }

warn() { printf '[%6s] warning: %s\n' "$(duration $((SECONDS - steps_began)))" "$*" >&2; }

# fail WHAT [ADVICE]
fail() {
  {
    printf '\nFailed: %s\n' "$1"
    if [[ -n ${2:-} ]]; then printf '  What to do: %s\n' "$2"; fi
  } >&2
  exit 1
}

run_step() { # title advice command...
  local title=$1 advice=$2 log began=$SECONDS status
  shift 2
  log=$(step_log "$title")
  watch_step "$title" "$log"
  set +e
  (
    set -e
    "$@"
  ) >"$log" 2>&1 </dev/null
  status=$?
  set -e
  unwatch_step
  if ((status)); then step_failed "$title" "$status" "$log" "$advice"; fi
  if ((SECONDS - began > 0)); then
    say "$title: done in $(duration $((SECONDS - began)))"
  else
    say "$title: done"
  fi
}

run_step_aloud() { # title advice command...
  local title=$1 advice=$2 log status
  shift 2
  log=$(step_log "$title")
  say "$title"
  set +e
  (
    set -e
    "$@"
  ) </dev/null 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  set -e
  if ((status)); then step_failed "$title" "$status" "$log" "$advice"; fi
}

step_failed() { # title status log advice
  unwatch_step
  {
    printf '\nFailed: %s (exit status %s)\n' "$1" "$2"
    if [[ -s $3 ]]; then
      printf '  The last lines of %s:\n' "$3"
      tail -n 20 "$3" | tr '\r' '\n' | tail -n 20 | sed 's/^/  | /'
    fi
    printf '  What to do: %s\n' "$4"
  } >&2
  exit 1
}

step_log() { # title
  local slug=${1,,}
  slug=${slug//[^a-z0-9]/-}
  if [[ -z $steps_log_dir ]]; then
    steps_log_dir=${TMPDIR:-/tmp}/paas-steps-$$
  fi
  mkdir -p "$steps_log_dir"
  echo "$steps_log_dir/${slug:0:60}.log"
}

# A spinner on a terminal; elsewhere a line each 20 seconds, so that a log shows what takes the time.
watch_step() { # title log
  : >"$2"
  if [[ -z $steps_terminal ]]; then say "$1"; fi
  (
    trap 'exit 0' TERM
    marks=('|' '/' '-' "\\") tick=0 began=$SECONDS
    while kill -0 "$$" 2>/dev/null; do
      if [[ -n $steps_terminal ]]; then
        printf '\r\033[K%s %s (%s) %s' "${marks[tick++ % 4]}" "$1" "$(duration $((SECONDS - began)))" "$(last_line "$2" 50)"
        sleep 0.25
      else
        # Waited for in the background, so that the end of the step need not wait for it.
        sleep 20 &
        trap 'kill $! 2>/dev/null; exit 0' TERM
        wait $!
        kill -0 "$$" 2>/dev/null || exit 0
        say "  still at it ($(duration $((SECONDS - began)))): $(last_line "$2" 100)"
      fi
    done
  ) &
  steps_watcher=$!
}

unwatch_step() {
  if [[ -z ${steps_watcher:-} ]]; then return 0; fi
  kill "$steps_watcher" 2>/dev/null || true
  wait "$steps_watcher" 2>/dev/null || true
  steps_watcher=
  if [[ -n $steps_terminal ]]; then printf '\r\033[K'; fi
}

last_line() { # file width
  tail -c 600 "$1" 2>/dev/null | tr '\r' '\n' | sed -e 's/\x1b\[[0-9;?]*[a-zA-Z]//g' -e '/^[[:space:]]*$/d' | tail -n 1 | cut -c "1-$2"
}

# wait_until SECONDS COMMAND...: true as soon as COMMAND is, false when the time is over.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    if ((SECONDS >= deadline)); then return 1; fi
    sleep 0.2
  done
}
