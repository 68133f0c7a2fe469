# Completion of paas for fish: paas itself knows what may come next.
complete --command paas --no-files --keep-order --arguments '(paas __complete fish (commandline --current-process --tokenize --cut-at-cursor) (commandline --cut-at-cursor --current-token) 2>/dev/null)'
