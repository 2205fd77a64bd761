# Completion of descartes for fish:
#   descartes completion fish > ~/.config/fish/completions/descartes.fish

function __descartes_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -g __descartes_found ($words[1] completion words $words[2..-1] "$current" 2>/dev/null)
    test (count $__descartes_found) -gt 0
end

complete -c descartes -e
complete -c descartes -n __descartes_candidates -f -k -a '(printf "%s\n" $__descartes_found)'
