#compdef descartes
# Completion of descartes for zsh:
#   source <(descartes completion zsh)
# in ~/.zshrc after compinit, or the output as _descartes in a folder of $fpath

_descartes() {
  local line
  local -a values
  for line in "${(@f)$(${(Q)words[1]} completion words "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && values+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  if (($#values)); then
    _describe -V 'descartes' values
  else
    _files
  fi
}

if [[ $funcstack[1] == _descartes ]]; then
  _descartes "$@"
else
  compdef _descartes descartes
fi
