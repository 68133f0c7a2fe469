# shellcheck shell=bash
# The stack's images, in which builds and dynos run. Needs steps.sh, packages.sh, settings.sh, a Docker and $provisioning_dir.
# shellcheck disable=SC2154 # setting and provisioning_dir come from who sources this

# Packages for making them.
need_image_tools() {
  need_program mmdebstrap mmdebstrap
  # One of mmdebstrap's own hooks asks for it.
  need_program dpkg-architecture dpkg-dev
}

make_images() {
  local image
  if [[ ${setting[run-image]} == paas/stack:24 && ${setting[build-image]} == paas/stack:24-build ]]; then
    if "$provisioning_dir/../buildpacks/stacks/build-stack" --check; then return; fi
    run_step_aloud "Making the stack images (some minutes, once)" "see that the Debian mirror can be reached, then run this again" \
      "$provisioning_dir/../buildpacks/stacks/build-stack"
    return
  fi
  for image in "${setting[run-image]}" "${setting[build-image]}"; do
    if ! docker image inspect "$image" >/dev/null 2>&1; then
      run_step "Fetching $image" "see that its registry can be reached (docker pull $image)" docker pull "$image"
    fi
  done
}
