# shellcheck shell=bash
# The sample app: made, pushed with git as a developer would, and fetched through the router. Needs account.sh and what
# that needs, and $provisioning_dir.
# shellcheck disable=SC2154 # setting and provisioning_dir come from who sources this

sample_app=hello

sample_directory() {
  if [[ ${setting[name]} == paas ]]; then echo "$(caller_home)/paas-$sample_app"; else echo "$(caller_home)/paas-${setting[name]}-$sample_app"; fi
}

# Once deployed it is the developer's: changed or destroyed, it stays so.
sample_mark() { echo "$(daemon_state)/sample-deployed"; }

sample_host() { echo "$sample_app.${setting[domain]}"; }

sample_answers() { [[ $(status_of http "$(sample_host)" /) == 200 ]]; }

in_sample() { as_caller env -C "$(sample_directory)" "$@"; }

make_sample() {
  local directory
  directory=$(sample_directory)
  if [[ ! -d $directory/.git ]]; then
    as_caller mkdir -p "$directory"
    as_caller cp -R "$provisioning_dir/../samples/$sample_app/." "$directory/"
    in_sample git init --quiet
    in_sample git symbolic-ref HEAD refs/heads/master
    in_sample git add --all
    in_sample git -c user.name=paas -c "user.email=${setting[email]}" commit --quiet --message "Say hello"
  fi
  if ! paas info --app "$sample_app" >/dev/null 2>&1; then
    paas create "$sample_app" --no-remote
  fi
  in_sample "${setting[prefix]}/bin/paas" git:remote --app "$sample_app"
}

sample_git_url() { echo "$(platform_url https "git.${setting[domain]}")/$sample_app.git"; }

# Whether the remote is as we made it, but from before the domain or the port changed.
sample_remote_is_old() {
  local remote
  remote=$(in_sample git remote get-url paas 2>/dev/null) || return 1
  [[ $remote == https://git.*/$sample_app.git && $remote != "$(sample_git_url)" ]]
}

renew_sample_remote() {
  local old
  old=$(in_sample git remote get-url paas)
  in_sample "${setting[prefix]}/bin/paas" git:remote --app "$sample_app"
  forget_in_git "${old%"/$sample_app.git"}" in_sample git config --local
}

push_sample() {
  in_sample git push paas master
}

fetch_sample() {
  if wait_until 60 sample_answers; then return; fi
  curl_platform http "$(sample_host)" / --include
  return 1
}
