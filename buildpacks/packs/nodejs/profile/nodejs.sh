if [[ -d $HOME/.heroku/node/bin ]]; then PATH=$HOME/.heroku/node/bin:$PATH; fi
export PATH="$PATH:$HOME/node_modules/.bin"
export NODE_HOME="${NODE_HOME:-$HOME/.heroku/node}"
export NODE_ENV="${NODE_ENV:-production}"
export NPM_CONFIG_UPDATE_NOTIFIER="${NPM_CONFIG_UPDATE_NOTIFIER:-false}"
# npm starts a script by a shell, and bash, unlike dash, makes way for the script's only command: a SIGTERM to npm then
# reaches the app, and npm waits until the app has ended.
export NPM_CONFIG_SCRIPT_SHELL="${NPM_CONFIG_SCRIPT_SHELL:-/bin/bash}"
