# .slugignore: what of the source stays out of build and slug.

# Lines are shell globs as in .gitignore, without `!`: one with a slash counts from the top, one without at any depth.
delete_slugignored() { # build directory
  local root=$1 line deleted=0 pattern path
  if [[ ! -f $root/.slugignore ]]; then return; fi
  while IFS= read -r line || [[ -n $line ]]; do
    line=${line%$'\r'}
    line=${line%%#*}
    line=${line#"${line%%[![:space:]]*}"}
    line=${line%"${line##*[![:space:]]}"}
    line=${line%/}
    if [[ -z $line || /$line/ == */../* ]]; then continue; fi
    if [[ $line == */* ]]; then pattern=${line#/}; else pattern="**/$line"; fi
    while IFS= read -rd '' path; do
      # A directory's content goes with it, and may match too.
      if [[ -e $path || -L $path ]]; then
        rm -rf -- "$path"
        deleted=$((deleted + 1))
      fi
    done < <(matches_of "$root" "$pattern")
  done <"$root/.slugignore"
  if ((deleted > 0)); then topic "Deleting $deleted files matching .slugignore patterns."; fi
}

matches_of() ( # root, pattern
  shopt -s globstar nullglob
  IFS=
  cd "$1" || exit 1
  for path in $2; do
    # A symbolic link in the middle of a path must not lead out of the source.
    if [[ $(realpath -m -- "$(dirname -- "$path")")/ == "$1"/* ]]; then printf '%s/%s\0' "$1" "$path"; fi
  done
)
