-- SPDX-License-Identifier: MIT
--
-- `moongate`: there as a global in every state, and as require "moongate". The functions are C; the larger parts are
-- modules of their own that load when they are first used, so that a state which does not use them does not pay for
-- them.

local _, core = ...
local require, setmetatable, rawget, rawset, error, type = require, setmetatable, rawget, rawset, error, type

local parts = {
  handlers = "moongate.handlers",
  metrics = "moongate.metrics",
  regex = "moongate.regex",
  route = "moongate.route",
}

local log = core.log

local function logger(level)
  return function(message, fields)
    if type(message) ~= "string" and type(message) ~= "number" then
      error(("bad argument #1 to 'moongate.log.%s' (a text expected, got %s)"):format(level, type(message)), 2)
    end
    if fields ~= nil and type(fields) ~= "table" then
      local wanted = "a table of fields expected, such as { user = name }, got "
      error(("bad argument #2 to 'moongate.log.%s' (%s%s)"):format(level, wanted, type(fields)), 2)
    end
    if fields and rawget(fields, "") ~= nil then
      error(("bad argument #2 to 'moongate.log.%s' (a field with an empty name)"):format(level), 2)
    end
    log(level, message, fields)
  end
end

local moongate = {
  connect = core.connect,
  resolve = core.resolve,
  sleep = core.sleep,
  spawn = core.spawn,
  now = core.now,
  on_reload = core.on_reload,
  shared = core.shared,
  after = core.after,
  every = core.every,
  version = core.version,
  log = {
    debug = logger("debug"),
    info = logger("info"),
    warn = logger("warn"),
    error = logger("error"),
  },
}

return setmetatable(moongate, {
  __index = function(self, name)
    if name == "worker" then
      return core.worker() -- not kept: a state is made before it has a worker
    end
    local part = parts[name]
    if part then
      part = require(part)
      rawset(self, name, part)
    end
    return part
  end,
})
