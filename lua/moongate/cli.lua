-- SPDX-License-Identifier: MIT
--
-- The command line: what it may say, and the exit status. Each command is a module of cli/: a table with `name`,
-- `summary`, `define` (adds its options) and `run` (returns the exit status). 0: done, 1: the thing asked for failed,
-- 2: the command line is wrong.

local cli = {}

local help = require("moongate.cli.help")
local nearest_of = require("moongate.text").nearest
local unicode = require("moongate.unicode")

local COMMANDS = {
  "run", "check", "test", "reload", "drain", "status", "routes", "conns", "kill", "addresses", "explain", "diagnose",
  "version",
}

local WIDTH = 80 -- of help, at most

-- What others call it, or who comes from elsewhere.
local MEANT = {
  stop = "drain", quit = "drain", shutdown = "drain", exit = "drain", start = "run", serve = "run", restart = "reload",
  connections = "conns", connection = "conns", sessions = "conns", ps = "conns", ls = "conns", list = "conns",
  route = "routes", files = "status", info = "status", stats = "status", show = "status", health = "status",
  close = "kill", disconnect = "kill", why = "explain", trace = "explain", ips = "addresses", clients = "addresses",
  blocked = "addresses", lint = "check", validate = "check", configtest = "check", debug = "diagnose",
  dump = "diagnose", snapshot = "diagnose",
}

-- Those that talk to no other moongate.
local ALONE = { check = true, version = true, test = true }

local CONTROL = "The control socket of the running moongate."

-- Those of a later version.
local LATER = { certs = true, targets = true, top = true }

-- argparse would end the process for help and for a wrong command line; both unwind to `main` instead.
local function stop(status, text)
  error({ status = status, text = text }, 0)
end

local function add_help(parser)
  parser:add_help(false)
  parser:flag("-h --help"):description("Show this help and exit."):action(function()
    stop(0, parser:get_help() .. "\n")
  end)
end

-- What people write that argparse takes otherwise: `help [COMMAND]`, and a number below 0 behind an option.
local function normalise(arguments)
  local words = {}
  for _, word in ipairs(arguments) do
    if word:find("^%-%d") and (words[#words] or ""):find("^%-%-%l[%l-]*$") then
      words[#words] = words[#words] .. "=" .. word
    else
      words[#words + 1] = word
    end
  end
  if words[1] == "help" then
    table.remove(words, 1)
    words[#words + 1] = "--help"
  end
  return words
end

-- The first word that is no option, nor the value of one that stands before the command.
local function find_command(words)
  local at = 1
  while words[at] and words[at]:sub(1, 1) == "-" do
    at = at + (words[at] == "--control" and 2 or 1)
  end
  return words[at]
end

-- What is wrong with a command that is none; nil for one that is.
local function fault_of_command(name, commands)
  if not name or commands[name] then
    return nil
  elseif LATER[name] then
    return ("the command '%s' is not in this version"):format(name)
  end
  local nearest = MEANT[name:lower()] or nearest_of(name, COMMANDS)
  local hint = nearest and ("did you mean `moongate %s`?"):format(nearest) or "`moongate help` lists them"
  return ("there is no command %s: %s"):format(("'%s'"):format(name), hint)
end

-- What one letter means elsewhere, in front of any command; argparse takes any two for alike.
local LETTERS = {
  c = "`moongate check`", t = "`moongate check`", f = "--config FILE", s = "`moongate reload` or `moongate drain`",
  v = "--version", V = "--version",
}

-- argparse's message, with its hint in the same sentence.
local function say_hint(message, is_first)
  local letter = message:match "^unknown option '%-(%w)'"
  if letter == nil then
    return (message:gsub("\nDid you mean", ": did you mean", 1))
  end
  local meant = is_first and LETTERS[letter]
  local hint = meant and ("did you mean %s?"):format(meant) or "options are whole words, see --help"
  return ("unknown option '-%s': %s"):format(letter, hint)
end

local function build()
  local argparse = require("argparse")
  local parser = argparse("moongate", "A proxy runtime that you script in Lua.")
  parser:add_help(false)
  local commands = {}
  parser:flag("-h --help"):description("Show this help and exit."):action(function()
    stop(0, help.text(commands))
  end)
  parser:flag("--version"):description("Print the version and exit."):action(function()
    error({ command = "version" }, 0)
  end)
  parser:option("--control", CONTROL):argname("PATH")
  parser:command_target("command")
  parser:require_command(true)
  function parser.error(current, message)
    message = say_hint(message, current == parser)
    stop(2, ("%s\n\nmoongate: %s\n"):format(current:get_usage(), unicode.printable(message)))
  end
  for _, name in ipairs(COMMANDS) do
    local command = require("moongate.cli." .. name)
    local defined = parser:command(name, command.summary)
    add_help(defined)
    defined:help_max_width(WIDTH)
    command.define(defined)
    if not ALONE[name] then
      defined:option("--control", CONTROL):argname("PATH"):target("control_behind")
    end
    defined.error = parser.error
    commands[name] = command
  end
  return parser, commands
end

-- What the arguments say, or nil, the exit status and a text for the user.
local function parse(arguments)
  local parser, commands = build()
  if #arguments == 0 then
    return nil, 2, help.text(commands)
  end
  local words = normalise(arguments)
  local wrong = fault_of_command(find_command(words), commands)
  if wrong then
    return nil, 2, ("%s\n\nmoongate: %s\n"):format(parser:get_usage(), unicode.printable(wrong))
  end
  local fine, result = pcall(parser.parse, parser, words)
  if fine then
    result.control = result.control_behind or result.control
    return result, commands[result.command]
  elseif type(result) ~= "table" then
    error(result, 0)
  elseif result.command then
    return {}, commands[result.command]
  end
  return nil, result.status, result.text
end

---@param ... string the arguments, without the program's name
---@return integer status of the process
function cli.main(...)
  local first, second = ...
  if first == "test" then
    return require("moongate.cli.test").main({ select(2, ...) }) -- busted's options, which are not ours to know
  elseif first == "help" and second == "test" then
    return require("moongate.cli.test").main({ "--help" })
  end
  local options, command, text = parse({ ... })
  if not options then
    local stream = command == 0 and io.stdout or io.stderr
    stream:write(unicode.printable_lines(text)) -- a wrong word is quoted
    return command
  end
  return command.run(options)
end

return cli
