-- SPDX-License-Identifier: MIT
--
-- The command line: what it may say, and the exit status. Each command is a module of cli/: a table with `name`,
-- `summary`, `define` (adds its options) and `run` (returns the exit status). 0: done, 1: the thing asked for failed,
-- 2: the command line is wrong.

local cli = {}

local COMMANDS = { "run", "check", "status", "reload", "version" }

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
    if word:find("^%-%d") and words[#words] == "--workers" then
      words[#words] = "--workers=" .. word
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

local function build()
  local argparse = require("argparse")
  local parser = argparse("moongate", "A proxy runtime that you script in Lua.")
  add_help(parser)
  parser:flag("--version"):description("Print the version and exit."):action(function()
    error({ command = "version" }, 0)
  end)
  parser:option("--control", "The control socket of the running moongate."):argname("PATH")
  parser:command_target("command")
  parser:require_command(true)
  function parser.error(current, message)
    stop(2, ("%s\n\nmoongate: %s\n"):format(current:get_usage(), message))
  end
  local commands = {}
  for _, name in ipairs(COMMANDS) do
    local command = require("moongate.cli." .. name)
    local defined = parser:command(name, command.summary)
    add_help(defined)
    command.define(defined)
    defined.error = parser.error
    commands[name] = command
  end
  return parser, commands
end

-- What the arguments say, or nil, the exit status and a text for the user.
local function parse(arguments)
  local parser, commands = build()
  if #arguments == 0 then
    return nil, 2, parser:get_help() .. "\n"
  end
  local fine, result = pcall(parser.parse, parser, normalise(arguments))
  if fine then
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
  local options, command, text = parse({ ... })
  if not options then
    local stream = command == 0 and io.stdout or io.stderr
    stream:write(text)
    return command
  end
  return command.run(options)
end

return cli
