#compdef paas
# Completion of paas for zsh: paas itself knows what may come next.
_paas() {
    local line
    local -a whole partial
    for line in "${(@f)$(paas __complete zsh "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        case $line in
            +*) whole+=("${line#+}") ;;
            -*) partial+=("${line#-}") ;;
        esac
    done
    (($#whole)) && _describe -V paas whole
    (($#partial)) && _describe -V paas partial -S ''
    (($#whole + $#partial))
}
if [[ ${funcstack[1]} == _paas ]]; then
    _paas "$@"
else
    compdef _paas paas
fi
