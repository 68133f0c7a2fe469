# Which buildpacks build this app: those it names, or the first shipped one that knows it.

EXPLICIT=0

choose_buildpacks() {
  local name kind value
  if [[ -s $JOB/buildpacks.list ]]; then
    EXPLICIT=1
    while IFS=$'\t' read -r name kind value || [[ -n $name ]]; do
      NAMES+=("$name") KINDS+=("$kind") VALUES+=("$value") REVISIONS+=('')
    done <"$JOB/buildpacks.list"
    announce
    for number in "${!NAMES[@]}"; do fetch_pack "$number"; done
  else
    topic "Determining which buildpack to use for this app"
    detect_default
  fi
}

announce() {
  local number
  if ((${#NAMES[@]} == 1)); then
    topic "Using buildpack: ${NAMES[0]}"
  else
    topic "Using buildpacks:"
    for number in "${!NAMES[@]}"; do printf '       %d. %s\n' $((number + 1)) "${NAMES[number]}"; done
  fi
}

# Runs a pack's detect; its name for the app is in LANGUAGE, what else it said in DETECT_SAID.
run_detect() { # directory
  LANGUAGE=
  DETECT_SAID=
  local status=0
  # A pack without bin/detect takes every app.
  if [[ ! -x $1/bin/detect ]]; then LANGUAGE=Custom; return 0; fi
  LANGUAGE=$(cd "$1" && timeout 60 bin/detect "$BUILD_DIR" 2>"$PACKS_DIR/detect.err" </dev/null) || status=$?
  if ((status != 0)); then
    DETECT_SAID=$(printf '%s\n' "$LANGUAGE"; cat "$PACKS_DIR/detect.err")
    return 1
  fi
  LANGUAGE=${LANGUAGE%%$'\n'*}
}

detect_default() {
  local name found=() names=()
  while IFS= read -r name || [[ -n $name ]]; do
    if [[ -n $name ]] && run_detect "$JOB/shipped/$name"; then
      found+=("$name") names+=("$LANGUAGE")
    fi
  done <"$JOB/shipped.order"
  if ((${#found[@]} == 0)); then
    problem "No default language could be detected for this app."
    printf '\t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.\n'
    printf '\t\t\tSee https://devcenter.heroku.com/articles/buildpacks\n'
    fail_quietly no-default-language "No default language could be detected for this app."
  fi
  # Almost every app has a Procfile: that pack takes what no language claims, and is no rival.
  if ((${#found[@]} > 1)) && [[ ${found[-1]} == procfile ]]; then unset 'found[-1]' 'names[-1]'; fi
  if ((${#found[@]} > 1)); then
    problem "Warning: Multiple default buildpacks reported the ability to handle this app. The first buildpack in the list below will be used."
    printf '\t\t\tDetected buildpacks: %s\n' "$(IFS=,; printf '%s' "${names[*]}")"
    printf '\t\t\tSee https://devcenter.heroku.com/articles/buildpacks#buildpack-detect-order\n'
  fi
  NAMES=("heroku/${found[0]}") KINDS=(shipped) VALUES=("${found[0]}") REVISIONS=('')
  fetch_pack 0
  LANGUAGES=("${names[0]}")
  topic "${names[0]} app detected"
}

# Just before its compile, since an earlier pack may have made what this one looks for.
detect_again() { # number
  if ! run_detect "${PACKS[$1]}"; then
    topic "App not compatible with buildpack: ${NAMES[$1]}"
    sed '/^[[:space:]]*$/d' <<<"$DETECT_SAID" | indent
    printf '       More info: https://devcenter.heroku.com/articles/buildpacks#detection-failure\n'
    CULPRIT=${NAMES[$1]} fail_quietly not-compatible "App not compatible with buildpack: ${NAMES[$1]}"
  fi
  LANGUAGES[$1]=$LANGUAGE
  topic "$LANGUAGE app detected"
}
