# Running a buildpack's scripts so that nothing of them outlives the build.

CHILD=
# Nobody ever writes to it: reading it with a time limit is a sleep that starts no process.
exec {NEVER}<> <(:)

# Runs a command in a process group of its own, both of its outputs on our stdout; its status is ours.
run_step() {
  local status=0
  set -m
  "$@" </dev/null 2>&1 &
  CHILD=$!
  set +m
  wait "$CHILD" 2>/dev/null || status=$?
  end_child
  return "$status"
}

# Ends what a step left running. `kill` is a builtin: it works where no further process may be started.
end_child() {
  if [[ -n $CHILD ]]; then kill -KILL -- "-$CHILD" 2>/dev/null || true; fi
  # As the container's first process every other one in it is the step's, also one that left its group.
  if (($$ == 1)); then kill -KILL -1 2>/dev/null || true; fi
  CHILD=
}

# TERM and INT: the builder cancelled the build or its time is up, and has told the user.
cancel() {
  trap '' TERM INT HUP
  if [[ -n $CHILD ]]; then
    kill -TERM -- "-$CHILD" 2>/dev/null || true
    local deadline=$((SECONDS + 5))
    while kill -0 -- "-$CHILD" 2>/dev/null && ((SECONDS < deadline)); do read -rt 0.1 -u "$NEVER" || true; done
  fi
  end_child
  if [[ -n ${OOM_BEFORE:-} ]]; then explain_limits 0; fi
  write_result failed cancelled "The build was cancelled."
  exit "${EXIT_OF[cancelled]}"
}
