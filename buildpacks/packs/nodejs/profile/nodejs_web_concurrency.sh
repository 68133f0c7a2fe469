# How many processes a cluster should have, where the app's owner has not said: what the dyno's memory holds at
# WEB_MEMORY (512 MB) each.
paas_memory_mb() {
  local file limit total
  read -r _ total _ </proc/meminfo
  total=$((total / 1024))
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    if [[ -r $file ]]; then
      read -r limit <"$file"
      # "max" and numbers beyond the machine mean no limit.
      if [[ $limit =~ ^[0-9]{1,18}$ ]] && ((limit / 1048576 < total)); then total=$((limit / 1048576)); fi
      break
    fi
  done
  echo "$total"
}
export MEMORY_AVAILABLE="${MEMORY_AVAILABLE:-$(paas_memory_mb)}"
export WEB_MEMORY="${WEB_MEMORY:-512}"
if [[ -z ${WEB_CONCURRENCY:-} ]]; then
  WEB_CONCURRENCY=$((WEB_MEMORY > 0 ? MEMORY_AVAILABLE / WEB_MEMORY : 1))
  if ((WEB_CONCURRENCY < 1)); then WEB_CONCURRENCY=1; fi
  export WEB_CONCURRENCY
fi
unset -f paas_memory_mb
