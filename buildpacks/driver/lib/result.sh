# How a build ends: OUT_DIR/result.json, written once, and an exit status that says the same.

declare -A EXIT_OF=(
  [internal]=10 [source]=11 [fetch]=12 [no-default-language]=13 [not-compatible]=14 [compile]=15 [release]=16
  [cancelled]=17 [out-of-memory]=18 [too-many-processes]=19 [no-space]=20
)

# Names, kinds, values, revisions, directories and languages of the buildpacks in use, by position.
NAMES=() KINDS=() VALUES=() REVISIONS=() PACKS=() LANGUAGES=()
RELEASE_YAML=
CULPRIT=

write_result() { # status, kind, message
  local packs='' number procfile=/dev/null has_procfile=
  for number in "${!PACKS[@]}"; do
    packs+=$(jq -nc --arg name "${NAMES[number]}" --arg kind "${KINDS[number]}" --arg value "${VALUES[number]}" \
      --arg revision "${REVISIONS[number]:-}" --arg language "${LANGUAGES[number]:-}" \
      '{name: $name, kind: $kind, value: $value,
        revision: (if $revision == "" then null else $revision end),
        language: (if $language == "" then null else $language end)}')
  done
  if [[ -f $BUILD_DIR/Procfile ]]; then procfile=$BUILD_DIR/Procfile has_procfile=1; fi
  # Invalid UTF-8 in a Procfile becomes U+FFFD here, as it does for jq.
  jq -n --arg status "$1" --arg kind "$2" --arg message "$3" --arg culprit "$CULPRIT" --arg release_yaml "$RELEASE_YAML" \
    --rawfile procfile "$procfile" --arg has_procfile "$has_procfile" --slurpfile buildpacks <(printf '%s' "$packs") \
    '{version: 1, status: $status,
      failure: (if $status == "failed" then
        {kind: $kind, message: $message, buildpack: (if $culprit == "" then null else $culprit end)} else null end),
      buildpacks: $buildpacks, release_yaml: $release_yaml, procfile: (if $has_procfile == "" then null else $procfile end)}' >"$OUT_DIR/result.json.new"
  mv "$OUT_DIR/result.json.new" "$OUT_DIR/result.json"
}

succeed() {
  write_result succeeded '' ''
  exit 0
}

# Ends the build: the message goes to the user as Heroku words it, the kind to the builder.
fail() { # kind, message
  problem "$2"
  fail_quietly "$1" "$2"
}

fail_quietly() { # kind, message (the user has been told)
  printf '\n'
  problem "Push failed"
  write_result failed "$1" "$2"
  exit "${EXIT_OF[$1]}"
}
