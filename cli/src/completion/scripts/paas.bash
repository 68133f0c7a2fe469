# Completion of paas for bash: paas itself knows what may come next.
_paas() {
    local IFS=$'\n'
    # The line up to the cursor: bash has cut its own words at colons, of which our commands have many.
    COMPREPLY=($(paas __complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null))
}
if ((BASH_VERSINFO[0] > 4 || (BASH_VERSINFO[0] == 4 && BASH_VERSINFO[1] >= 4))); then
    complete -o nospace -o nosort -F _paas paas
else
    complete -o nospace -F _paas paas
fi
