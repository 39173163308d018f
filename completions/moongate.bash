# SPDX-License-Identifier: MIT
#
# Completion for bash. Commands and options are asked of moongate itself, so they are those of the one that is installed;
# names of routes, files and connections are asked of the one that runs, for a second at most.
# To use it: source completions/moongate.bash, or copy it to /usr/share/bash-completion/completions/moongate

_moongate_ask() { # the values of a JSON field in the answer of: moongate WORDS… --json
  local field=$1
  shift
  timeout 1 "$program" "$@" "${control[@]}" --json 2>/dev/null | grep -o "\"$field\":\"[^\"\\\\]*\"" | cut -d '"' -f 4 | sort -u
}

# Those of the lines that begin as the word does, as the shell has to be given them: a name is what somebody else has
# chosen, and compgen -W would run the $(…) in it.
_moongate_match() {
  local word quoted
  while IFS= read -r word; do
    printf -v quoted %q "$word"
    if [[ -n $word && ($word == "$current"* || $quoted == "$current"*) ]]; then
      printf '%s\n' "$quoted"
    fi
  done
}

_moongate_values() { # what may follow the option $1 of the command $2
  case $1 in
    --control | --config) compgen -f -- "$current" ;;
    --routes) compgen -d -- "$current" ;;
    --route) _moongate_ask name routes --limit 2000 | _moongate_match ;;
    --file) _moongate_ask file status | _moongate_match ;;
    --port) "$program" status "${control[@]}" --json 2>/dev/null | grep -o '"ports":\[[0-9,]*\]' | grep -o '[0-9]*' | _moongate_match ;;
    --state) compgen -W 'routing connecting forwarding handling idle closing' -- "$current" ;;
    --sort)
      if [[ $2 == addresses ]]; then
        compgen -W 'refused connections rate blocked client active bytes bytes_in bytes_out' -- "$current"
      else
        compgen -W 'age idle bytes client' -- "$current"
      fi
      ;;
    --scope) compgen -W 'all unrouted route' -- "$current" ;;
    --tls-version) compgen -W '1.0 1.1 1.2 1.3' -- "$current" ;;
    *) return 1 ;;
  esac
}

_moongate_command() { # the first word that is no option, nor the value of --control
  local i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --control) i=$((i + 1)) ;;
      -*) ;;
      *)
        printf '%s' "${COMP_WORDS[i]}"
        return
        ;;
    esac
  done
}

_moongate() {
  local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  local control=() command i words
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ ${COMP_WORDS[i]} == --control && $((i + 1)) -lt $COMP_CWORD ]] && control=(--control "${COMP_WORDS[i + 1]}")
  done
  COMPREPLY=()
  command=$(_moongate_command)
  case $before in # the shell gives names of files as it has to be given them
    --control | --config | --routes) compopt -o filenames 2>/dev/null ;;
    *) [[ $current != -* && $command =~ ^(test|check)$ ]] && compopt -o filenames 2>/dev/null ;;
  esac
  if words=$(_moongate_values "$before" "$command"); then
    :
  else
    if [[ $current == -* ]]; then
      words=$("$program" ${command:+"$command"} --help 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | _moongate_match)
    elif [[ -z $command || $command == help ]]; then
      words=$("$program" help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p' | _moongate_match)
    elif [[ $command == test || $command == check ]]; then
      words=$(compgen -f -- "$current")
    elif [[ $command == routes ]]; then
      words=$(_moongate_ask name routes --limit 2000 | _moongate_match)
    elif [[ $command == explain || $command == kill ]]; then
      words=$(_moongate_ask id conns --limit 100 | _moongate_match)
    fi
  fi
  mapfile -t COMPREPLY < <(printf '%s' "$words" | sort -u)
}

complete -F _moongate moongate
