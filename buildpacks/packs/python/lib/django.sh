# Django's static files, collected as part of the build, unless DISABLE_COLLECTSTATIC is set.

collect_static() {
  local manage
  if ! compgen -G "$venv/lib/python*/site-packages/django/__init__.py" >/dev/null; then return; fi
  manage=$(find . -maxdepth 3 -name manage.py -not -path './.heroku/*' -type f -printf '%d %P\n' | sort -n | head -n 1 | cut -d' ' -f2-)
  if [[ -z $manage || $(config_var DISABLE_COLLECTSTATIC 0) != 0 ]]; then return; fi
  if ! grep -rqs --include='*.py' STATIC_ROOT . --exclude-dir=.heroku; then
    topic "Skipping Django collectstatic: no settings name a STATIC_ROOT"
    return
  fi
  topic "\$ python $manage collectstatic --noinput"
  (export_config_vars; PYTHONPATH=$BUILD_DIR python "$manage" collectstatic --noinput --traceback) 2>&1 | filter -e '/^Post-processed/d;/^Copying/d;/^$/d' -e 's/^/       /' ||
    fail "Error while running '\$ python $manage collectstatic --noinput'." "" \
      "See traceback above for details." "" \
      "You may need to update application code to resolve this error." \
      "Or, you can disable collectstatic for this application:" "" "   \$ paas config:set DISABLE_COLLECTSTATIC=1"
}
