-- SPDX-License-Identifier: MIT
--
-- `moongate`: there as a global in every state, and as require "moongate". The functions are C; the larger parts are
-- modules of their own that load when they are first used, so that a state which does not use them does not pay for
-- them.

local _, core = ...
local require, setmetatable, rawset = require, setmetatable, rawset

local parts = {
  handlers = "moongate.handlers",
}

local log = core.log

local moongate = {
  connect = core.connect,
  sleep = core.sleep,
  spawn = core.spawn,
  now = core.now,
  on_reload = core.on_reload,
  version = core.version,
  log = {
    debug = function(message, fields)
      log("debug", message, fields)
    end,
    info = function(message, fields)
      log("info", message, fields)
    end,
    warn = function(message, fields)
      log("warn", message, fields)
    end,
    error = function(message, fields)
      log("error", message, fields)
    end,
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
