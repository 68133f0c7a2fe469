# Telling a build that broke from one that met its container's limits. Both cgroup layouts.

LIMIT_HIT=

cgroup_number() { # key, files...: the number after KEY in the first of the files that is there
  local key=$1 file name value
  shift
  for file in "$@"; do
    if [[ -r $file ]]; then
      while read -r name value; do
        if [[ $name == "$key" ]]; then printf '%s' "$value"; return 0; fi
      done <"$file"
    fi
  done
  printf 0
}

# The first line of the first of the files that is there.
first_line() {
  local file line
  for file in "$@"; do
    if [[ -r $file ]]; then
      read -r line <"$file" || true
      printf '%s' "$line"
      return 0
    fi
  done
}

oom_kills() { cgroup_number oom_kill /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; }
refused_forks() { cgroup_number max /sys/fs/cgroup/pids.events /sys/fs/cgroup/pids/pids.events; }

note_limits() {
  OOM_BEFORE=$(oom_kills)
  FORKS_BEFORE=$(refused_forks)
  LIMIT_HIT=
}

# Adds to a failed compile what the kernel knows of it.
explain_limits() { # exit status
  local memory processes
  if (($(oom_kills) > OOM_BEFORE)); then
    LIMIT_HIT=out-of-memory
    memory=$(first_line /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes)
    if [[ $memory =~ ^[0-9]+$ ]]; then memory=" ($((memory / 1048576)) MB)"; else memory=; fi
    problem "The build used more memory than a build may$memory, and a process of it was killed."
  elif (($(refused_forks) > FORKS_BEFORE)); then
    LIMIT_HIT=too-many-processes
    processes=$(first_line /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max)
    problem "The build tried to run more processes than a build may${processes:+ ($processes)}."
  elif (($(df --output=avail -B1M "$BUILD_DIR" | tail -n 1) < 1)); then
    LIMIT_HIT=no-space
    problem "The build filled the disk it may use."
  elif (($1 > 128)); then
    problem "The buildpack was killed by signal $(($1 - 128))."
  fi
}
