# "Discovering process types". For the user's eyes: the builder reads Procfile and bin/release's YAML itself.

procfile_types() {
  local line pattern='^[[:space:]]*([a-zA-Z0-9_-]+):?[[:space:]]+(.*)[[:space:]]*'
  if [[ ! -f $BUILD_DIR/Procfile ]]; then return; fi
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ $pattern ]]; then printf '%s\n' "${BASH_REMATCH[1]}"; fi
  done <"$BUILD_DIR/Procfile" | LC_ALL=C sort -u
}

# The keys under default_process_types, in block style or in braces on one line.
default_types() {
  awk '
    /^[[:space:]]*:?["'\'']?default_process_types["'\'']?:[[:space:]]*\{/ {
      sub(/^[^{]*\{/, ""); sub(/\}[^}]*$/, "")
      while (match($0, /["'\'']?[a-zA-Z0-9_-]+["'\'']?:[[:space:]]/)) {
        key = substr($0, RSTART, RLENGTH); gsub(/["'\'':[:space:]]/, "", key); print key
        $0 = substr($0, RSTART + RLENGTH); if (!sub(/^[^,]*,/, "")) break
      }
      next
    }
    /^[[:space:]]*:?["'\'']?default_process_types["'\'']?:/ { match($0, /^[[:space:]]*/); outer = RLENGTH; inside = 1; inner = -1; next }
    inside && NF && !/^[[:space:]]*#/ {
      match($0, /^[[:space:]]*/)
      if (RLENGTH <= outer) { inside = 0; next }
      if (inner < 0) inner = RLENGTH
      if (RLENGTH == inner && match($0, /^[[:space:]]*["'\'']?[a-zA-Z0-9_-]+["'\'']?:/)) {
        key = substr($0, RSTART, RLENGTH); gsub(/["'\'':[:space:]]/, "", key); print key
      }
    }' <<<"$RELEASE_YAML" | LC_ALL=C sort -u
}

comma() { paste -sd, | sed 's/,/, /g'; }

discover_process_types() {
  local declared defaults
  declared=$(procfile_types)
  defaults=$(LC_ALL=C comm -13 <(printf '%s\n' "$declared") <(default_types))
  topic "Discovering process types"
  printf '       Procfile declares types -> %s\n' "$(comma <<<"${declared:-(none)}")"
  if [[ -n $defaults ]]; then printf '       Default types for buildpack -> %s\n' "$(comma <<<"$defaults")"; fi
  printf '\n'
}
