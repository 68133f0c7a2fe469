# What the person who pushed reads.

topic() { printf -- '-----> %s\n' "$*"; }
indent() { sed 's/^/       /'; }
problem() { printf ' !     %s\n' "$*"; }

# heroku-24 -> Heroku-24
stack_title() { printf '%s' "${1^}"; }
