-- SPDX-License-Identifier: MIT
--
-- testing.call: a handler on one end of a socket pair, as the handler of a connection of a moongate that has nothing
-- else; the spec has the other end.

local _, core = ...
local failure = require "moongate.testing.failure"
local instance = require "moongate.testing.instance"
local moongate = require "moongate"
local testing = require("moongate.native").testing()

local LOOK_EVERY = 0.02
local ADDRESS = { client_ip = "127.0.0.1", client_port = 50000 }

local calls = {} -- those of this test

---@class moongate.testing.Call the spec's end of the socket pair: a socket, and what became of the handler
local Call = {}

local states = setmetatable({}, { __mode = "k" })

local function is_over(state)
  return state.over or (testing.connections(state.instance.id) or 0) == 0
end

-- The handler's error is the test's, wherever that notices.
local function raise(state)
  if state.failure then
    state.told = true
    error(failure.describe(state.failure), 0)
  end
end

local function checked(state, ...)
  raise(state)
  return ...
end

local function method(name)
  return function(self, ...)
    local state = states[self]
    return checked(state, state.socket[name](state.socket, ...))
  end
end

for _, name in ipairs({
  "receive",
  "receiveany",
  "receiveuntil",
  "peek",
  "send",
  "starttls",
  "tls",
  "settimeout",
  "gettimeout",
  "setoption",
  "getoption",
  "getstats",
  "shutdown",
  "getpeername",
  "getsockname",
  "getfd",
  "dirty",
  "close",
}) do
  Call[name] = method(name)
end

---The other may be a call's end as well.
function Call:pipe(other, options)
  local state, its = states[self], states[other]
  return checked(state, state.socket:pipe(its and its.socket or other, options))
end

function Call:lines(...)
  local state = states[self]
  local next_line = state.socket:lines(...)
  return function()
    local line = next_line()
    raise(state)
    return line
  end
end

---Waits until the handler has returned, raised, or lost its connection; raises what it raised. What it returned, or nil
---and "timeout".
---@param duration? number|string default 10 seconds
function Call:wait(duration)
  local state = states[self]
  local limit = core.duration(duration or 10) or error("bad argument #1 to 'wait' (a duration expected)", 2)
  local waited_until = moongate.now() + limit
  while not is_over(state) do
    local left = waited_until - moongate.now()
    if left <= 0 then
      return nil, "timeout"
    end
    state.waiting = testing.task()
    moongate.sleep(math.min(left, LOOK_EVERY))
    state.waiting = nil
  end
  raise(state)
  return unpack(state.results or {}, 1, state.results and state.results.n or 0)
end

local fields = {}

---Has the handler returned, raised, or lost its connection?
function fields.finished(state)
  return is_over(state)
end

---What the handler has raised; reading it means that the test has seen it, and does not fail for it.
function fields.error(state)
  if state.failure then
    state.told = true
    return state.failure.raised
  end
end

---The context that the handler got.
function fields.context(state)
  return state.context
end

---The socket itself.
function fields.socket(state)
  return state.socket
end

local function index(self, key)
  local field = fields[key]
  if field then
    return field(states[self])
  end
  return Call[key]
end

local metatable = {
  __index = index,
  __tostring = function(self)
    return ("call (%s)"):format(is_over(states[self]) and "finished" or "running")
  end,
}

local function handler_of(value)
  if type(value) == "table" and type(value.action) == "table" then
    value = value.action.handler
  end
  local meta = type(value) == "table" and getmetatable(value)
  if type(value) ~= "function" and not (meta and meta.__call) then
    error("bad argument #1 to 'testing.call' (a handler, or a route that has one, expected)", 3)
  end
  return value
end

-- As the handler of the route: with the context that the test wants, and nothing lost of what comes of it.
local function wrap(handler, overrides, state)
  return function(socket, context)
    for key, value in pairs(overrides) do
      context[key] = value
    end
    state.context = context
    local function finish(fine, ...)
      state.over = true
      if state.waiting then
        testing.wake(state.waiting)
      end
      if not fine then
        state.failure = (...)
        error(state.failure.raised, 0)
      end
      state.results = { n = select("#", ...), ... }
      return ...
    end
    return finish(xpcall(handler, failure.catch, socket, context))
  end
end

-- What concerns a route's connections beside the handler.
local function route_of(value, handler)
  local given = type(value) == "table" and value or {}
  return {
    name = given.name or "call",
    match = { ports = 0 },
    action = { handler = handler },
    timeouts = given.timeouts,
    keep_alive = given.keep_alive,
  }
end

---Runs a handler on one end of a socket pair. `overrides`: fields of its context (client_ip, client_port and port are
---the connection's too). Sockets keep LuaSocket's conventions.
---@param handler function|table the handler, or a route that has one
---@param overrides? table
---@return moongate.testing.Call
local function call(handler, overrides)
  if overrides ~= nil and type(overrides) ~= "table" then
    error("bad argument #2 to 'testing.call' (a table of context fields expected)", 2)
  end
  overrides = overrides or {}
  local state = {}
  local wrapped = wrap(handler_of(handler), overrides, state)
  state.instance = instance.start({ routes = { route_of(handler, wrapped) }, quiet = true })
  local fine, socket = pcall(testing.pair, state.instance.id, {
    client_ip = overrides.client_ip or ADDRESS.client_ip,
    client_port = overrides.client_port or ADDRESS.client_port,
    port = overrides.port,
  })
  if not fine then
    state.instance:stop()
    error(socket, 2)
  end
  state.socket = socket
  local self = setmetatable({}, metatable)
  states[self] = state
  calls[#calls + 1] = state
  return self
end

-- What became of functions that the handler has spawned is only in the log.
local function spawned_failure(state)
  for _, line in ipairs(state.instance:log()) do
    if line:find('msg="a spawned function failed"', 1, true) then
      local text = line:match ' error="(.*)"$' or line
      return (text:gsub("\\n", "\n"):gsub("\\t", "\t"):gsub('\\"', '"')) .. "\n(raised in what the handler spawned)"
    end
  end
end

local Calls = {}

---The test is over: raises what a handler raised, and nobody has been told of.
function Calls.check()
  for _, state in ipairs(calls) do
    if not state.told then
      raise(state)
    end
    local line = spawned_failure(state)
    if line then
      error(line, 0)
    end
  end
end

---Ends those of the test. Returns what nobody has been told of.
function Calls.stop()
  local untold = {}
  for _, state in ipairs(calls) do
    state.waiting = nil
    if state.failure and not state.told then
      untold[#untold + 1] = failure.describe(state.failure)
    end
    state.instance:stop()
  end
  calls = {}
  return untold
end

return setmetatable(Calls, {
  __call = function(_, ...)
    return call(...)
  end,
})
