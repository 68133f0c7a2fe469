# Running a buildpack's scripts so that nothing of them outlives the build.

CHILD=
# Nobody ever writes to it: reading it with a time limit is a sleep that starts no process.
exec {NEVER}<> <(:)

# Runs a command in a process group of its own, both of its outputs on our stdout; its status is ours.
run_step() {
  local status=0
  set -m
  {
    # Should memory run out, it is not the driver that goes: somebody has to tell how the build ended.
    echo 1000 >/proc/self/oom_score_adj || true
    exec "$@"
  } </dev/null 2>&1 &
  CHILD=$!
  set +m
  wait "$CHILD" 2>/dev/null || status=$?
  end_child
  return "$status"
}

# Ends what a step left running, with builtins only: there may be no room for another process.
end_child() {
  if [[ -n $CHILD ]]; then kill -KILL -- "-$CHILD" 2>/dev/null || true; fi
  CHILD=
  # As the container's first process every other one in it is the step's, also one that left its group.
  if (($$ != 1)); then return 0; fi
  local deadline=$((SECONDS + 10))
  while kill -KILL -1 2>/dev/null; is_anybody_left && ((SECONDS < deadline)); do pause 0.02; done
}

# The dead count until they are buried, which the shell does between two commands.
is_anybody_left() {
  local process
  for process in /proc/[0-9]*; do
    if [[ $process != /proc/1 && -d $process ]]; then return 0; fi
  done
  return 1
}

pause() { read -rt "$1" -u "$NEVER" || true; }

# TERM and INT: the builder cancelled the build or its time is up, and has told the user. (In a trap a bare `return` means
# the status from before it, so every function called here says `return 0`.)
cancel() {
  trap '' TERM INT HUP
  if [[ -n $CHILD ]]; then
    kill -TERM -- "-$CHILD" 2>/dev/null || true
    local deadline=$((SECONDS + 5))
    while kill -0 -- "-$CHILD" 2>/dev/null && ((SECONDS < deadline)); do pause 0.1; done
  fi
  end_child
  if [[ -n ${OOM_BEFORE:-} ]]; then explain_limits 0; fi
  write_result failed cancelled "The build was cancelled."
  exit "${EXIT_OF[cancelled]}"
}
