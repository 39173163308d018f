-- SPDX-License-Identifier: MIT
--
-- `moongate test`: busted inside the runtime, as a task of its event loop, so that a test may wait. All of the command
-- line is busted's, but for --timeout. Sees to it that what a test started ends with it, and that none waits or runs
-- for ever.

local _, core = ...

local output = require("moongate.cli.output")

local command = {
  name = "test",
  summary = "Run specs (default: spec/) with busted, inside the runtime.",
}

local TIMEOUT = 60
local USAGE = [[


OPTIONS of moongate test itself:
  --timeout=SECONDS           how long a test may wait, or run, before it is
                              ended where it is; 0: for ever (default: 60)
]]

function command.define(parser)
  parser:argument("spec", "Files or directories of specs, and busted's options (moongate test --help)."):args("*")
end

-- Takes our option out of the words. The words and the seconds, or nil and what is wrong.
local function take_timeout(words)
  local rest, timeout, i = {}, TIMEOUT, 1
  while i <= #words do
    local word = words[i]
    local value = word:match "^%-%-timeout=(.*)$"
    if word == "--timeout" then
      i = i + 1
      value = words[i] or ""
    end
    if value then
      timeout = core.duration(tonumber(value) or value)
      if not timeout then
        return nil, ("--timeout: expected seconds, or a duration such as 500ms or 5m, got '%s'"):format(value)
      end
    else
      rest[#rest + 1] = word
    end
    i = i + 1
  end
  return rest, timeout
end

-- Specs are the project's, and so is what they require: it is looked for as luajit does, in the directory of the call
-- or where the environment says, in which ";;" stands for what is there without it.
local function search_project(field, variable, own)
  local packaged, said = package[field], os.getenv(variable)
  package[field] = said and (said .. ";"):gsub(";;", function()
    return ";" .. packaged .. ";"
  end, 1) or own .. ";" .. packaged
end

local function is_installed()
  for path in package.path:gmatch "[^;]+" do
    local file = io.open((path:gsub("%?", "busted/runner")))
    if file then
      file:close()
      return true
    end
  end
  return false
end

local EXIT = {}

-- busted ends the process, here the task: what was started is still to be stopped.
local function exit(status)
  error(setmetatable({ status = status == true and 0 or tonumber(status) or 0 }, EXIT), 0)
end

-- From now on the test has all its time.
local function begin(state)
  local testing = require("moongate.native").testing()
  state.since = testing.real_time()
  testing.bound(state.timeout)
end

-- Interrupts a test that has waited too long, by the clock that no spec moves.
local function watch(state)
  local moongate = require "moongate"
  local testing = require("moongate.native").testing()
  local message = ("waited longer than %gs here (--timeout)"):format(state.timeout)
  while not state.over do
    local left = state.since + state.timeout - testing.real_time()
    if left <= 0 then
      state.since = testing.real_time()
      testing.interrupt(state.task, message)
    else
      moongate.sleep(left)
    end
  end
end

-- What was raised when no test could be told any more.
local function complain_of_background(state)
  for _, text in ipairs(require("moongate.testing.background").drop()) do
    state.untold = true
    io.stderr:write("moongate.testing: ", text, "\n")
  end
end

-- Runs at each event of busted that shows that it goes on.
local function follow(busted, state)
  local background = require "moongate.testing.background"
  local calls = require "moongate.testing.call"
  local instances = require "moongate.testing.instance"
  local function touch()
    begin(state)
    return nil, true
  end
  for _, what in ipairs({ "suite", "file", "describe", "test" }) do
    busted.subscribe({ what, "start" }, touch)
    busted.subscribe({ what, "end" }, touch)
  end
  local run
  busted.subscribe({ "test", "start" }, function(element)
    state.tests = state.tests + 1
    background.begin(element.name)
    run = element.run
    element.run = run and function(...)
      run(...)
      calls.check()
      background.check()
    end
    return nil, true
  end)
  busted.subscribe({ "test", "end" }, function(element)
    element.run = run
    for _, text in ipairs(calls.stop()) do
      io.stderr:write("moongate.testing: ", tostring(text), "\n")
    end
    complain_of_background(state)
    return nil, true
  end)
  busted.subscribe({ "file", "end" }, function()
    instances.stop_all()
    return nil, true
  end)
end

-- busted is made within its runner; execute is the first that gets it whole.
local function hook(state)
  local execute = require "busted.execute"
  package.loaded["busted.execute"] = function(busted)
    follow(busted, state)
    return execute(busted)
  end
end

-- The runner calls itself what its caller's file is called.
local CALLER = [[
local runner = ...
runner({ standalone = false })
return 0
]]

local function run_busted(words, state)
  require "moongate.testing" -- before busted begins to put package.loaded back after each file
  hook(state)
  words[0] = "moongate test"
  _G.arg = words
  os.exit = exit -- luacheck: ignore 122
  local results = { pcall(assert(loadstring(CALLER, "@moongate test")), require "busted.runner") }
  local status = results[2]
  if results[1] then
    return status
  elseif getmetatable(status) == EXIT then
    return status.status
  elseif status == nil then
    return 1 -- how busted ends where it can't pass a status on
  end
  output.complain("busted failed: ", tostring(status))
  return 1
end

-- As busted's runner reads its command line; nil and what it says of one that is wrong.
local function parse(words)
  local cli = require "busted.modules.cli"({ output = "utfTerminal" })
  cli:set_name("moongate test")
  return cli:parse({ unpack(words) })
end

-- busted's help, which it takes for an error, and ours.
local function help()
  local _, text = parse({ "--help" })
  text = text:gsub("^.-Usage:", "Usage:"):gsub("; re%-run with %-%-help for usage%.%s*$", ""):gsub("%s+$", "")
  io.stdout:write(text, USAGE)
end

local function wants_help(words)
  for _, word in ipairs(words) do
    if word == "--" then
      return false
    elseif word == "--help" or word == "-h" then
      return true
    end
  end
  return false
end

---@param words string[] of the command line, behind "test"
---@return integer status of the process
function command.main(words)
  local rest, timeout = take_timeout(words)
  if not rest then
    output.complain(timeout)
    return 2
  end
  search_project("path", "LUA_PATH", "./?.lua;./?/init.lua")
  search_project("cpath", "LUA_CPATH", "./?.so")
  if not is_installed() then
    output.complain("specs are run with busted, which is not installed: apt-get install lua-busted")
    return 1
  end
  if wants_help(rest) then
    help()
    return 0
  end
  local fine, fault = parse(rest)
  if not fine then
    output.warn(fault, "\n")
    return 2
  end
  local moongate = require "moongate"
  local testing = require("moongate.native").testing()
  local state = { task = testing.task(), timeout = timeout, tests = 0 }
  begin(state)
  if timeout > 0 then
    moongate.spawn(watch, state)
  end
  require("moongate.testing.background").watch()
  local status = run_busted(rest, state)
  state.over = true
  complain_of_background(state)
  require("moongate.testing.instance").stop_all()
  if status == 0 and state.tests == 0 and not (fine.list or fine.version) then
    output.complain("no test was run: none matches what the command line, or .busted, asks for")
    return 1
  end
  return status == 0 and state.untold and 1 or status
end

return command
