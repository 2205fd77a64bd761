# Completion of descartes for bash 3.2 and newer, which needs nothing besides:
#   source <(descartes completion bash)
# in ~/.bashrc, or the output in ~/.local/share/bash-completion/completions/descartes

_descartes() {
  local word words=() candidates=() lines=() line i width=0
  # bash takes words apart at = and :, which descartes does not
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((i > 1)) && [[ $word == [=:]* || ${COMP_WORDS[i - 1]} == [=:] ]]; then
      words[${#words[@]} - 1]+=$word
    else
      words+=("$word")
    fi
  done
  # what bash replaces is the last part alone
  word=${COMP_WORDS[COMP_CWORD]}
  [[ $word == [=:] ]] && word=
  local last=${words[${#words[@]} - 1]}
  local before=$((${#last} - ${#word}))

  COMPREPLY=()
  while IFS= read -r line; do
    lines+=("$line")
    line=${line%%$'\t'*}
    candidates+=("${line:before}")
    ((${#line} > width)) && width=${#line}
  done < <("${1/#\~/$HOME}" completion words "${words[@]}" 2>/dev/null)
  if ((${#candidates[@]} < 2)) || [[ ${COMP_TYPE-} != 63 ]]; then
    COMPREPLY=("${candidates[@]}")
    return
  fi
  for i in "${!lines[@]}"; do # they are listed, not inserted: tell what each is
    line=${lines[i]}
    COMPREPLY+=("$(printf '%-*s  %s' "$width" "${candidates[i]}" "${line#*$'\t'}")")
  done
}

complete -o bashdefault -o default -F _descartes descartes
