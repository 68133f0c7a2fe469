# How many worker processes a web server should start, where the app's owner has not said: as many as CPUs and the
# dyno's memory (256 MB each) allow. gunicorn and uvicorn read WEB_CONCURRENCY themselves.
if [[ -z ${WEB_CONCURRENCY:-} ]]; then
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
  DYNO_RAM=$(paas_memory_mb)
  paas_by_memory=$((DYNO_RAM / 256)) paas_by_cpu=$(($(nproc) * 2 + 1))
  WEB_CONCURRENCY=$((paas_by_memory < paas_by_cpu ? paas_by_memory : paas_by_cpu))
  if ((WEB_CONCURRENCY < 1)); then WEB_CONCURRENCY=1; fi
  export DYNO_RAM WEB_CONCURRENCY
  unset -f paas_memory_mb
  unset paas_by_memory paas_by_cpu
fi
