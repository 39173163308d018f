-- SPDX-License-Identifier: MIT
--
-- What a test's own moongate.spawn, after and every raise: kept until the test can be told. Who joins a spawned
-- function has been told of its error by that.

local failure = require "moongate.testing.failure"
local moongate = require "moongate"

local background = {}

local MOST = 100 -- failures that are kept: a timer may raise again and again

local failed, joined = {}, setmetatable({}, { __mode = "k" })
local running -- the test

-- What the wrapped function came to: its results, or its error, which is noted.
local function pass(record, fine, ...)
  if fine then
    return ...
  end
  local caught = ...
  if #failed < MOST then
    failed[#failed + 1] = { of = record, caught = caught }
  end
  error(caught.raised, 0)
end

local function wrap(record, fn)
  return function(...)
    return pass(record, xpcall(fn, failure.catch, ...))
  end
end

local function hear_of_joins(task)
  local methods = debug.getmetatable(task).__index
  if methods ~= background.methods then
    local join = methods.join
    background.methods = methods
    function methods.join(self, ...)
      joined[self] = true
      return join(self, ...)
    end
  end
end

local function spawn_with(spawn)
  return function(fn, ...)
    if type(fn) ~= "function" then
      return spawn(fn, ...)
    end
    local record = { what = "moongate.spawn", test = running }
    record.task = spawn(wrap(record, fn), ...)
    hear_of_joins(record.task)
    return record.task
  end
end

local function timer_with(what, set)
  return function(seconds, fn, ...)
    if type(fn) ~= "function" then
      return set(seconds, fn, ...)
    end
    return set(seconds, wrap({ what = what, test = running }, fn), ...)
  end
end

---From now on.
function background.watch()
  moongate.spawn = spawn_with(moongate.spawn)
  moongate.after = timer_with("moongate.after", moongate.after)
  moongate.every = timer_with("moongate.every", moongate.every)
end

---A test begins.
---@param name string
function background.begin(name)
  running = name
end

-- Takes the first out that nobody has been told of, as it is raised; nil: there is none.
local function take()
  while failed[1] do
    local first = table.remove(failed, 1)
    if not joined[first.of.task or first] then
      local other = first.of.test ~= running and first.of.test
      local where = "what " .. first.of.what .. " began" .. (other and (" in the test %q"):format(other) or "")
      return failure.describe(first.caught, where)
    end
  end
end

---The test is over: raises what was raised, and nobody has been told of.
function background.check()
  local raised = take()
  if raised then
    error(raised, 0)
  end
end

---What is left, as texts: nobody is told of it any more.
---@return string[]
function background.drop()
  local texts = {}
  for raised in take do
    texts[#texts + 1] = type(raised) == "table" and raised.message or raised
  end
  return texts
end

return background
