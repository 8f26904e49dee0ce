function __cloudhsm_cli_found
    set -l before (commandline -opc)[2..-1]
    set -l typed "$(commandline -ct | string replace -r '^["\']' '')"
    set -l found (cloudhsm-cli complete-words $before $typed 2>/dev/null)
    if test -n "$found[1]"
        printf '%s\n' $found
    else
        __fish_complete_path $typed
    end
end
complete --command cloudhsm-cli --no-files --arguments '(__cloudhsm_cli_found)'
