-- SPDX-License-Identifier: MIT
--
-- Which connections a command means: the options that conns and kill share, and what they are called in a query.

local asking = require("moongate.cli.asking")
local text = require("moongate.text")

local which = {}

---The options that say which, as names of the API's parameters.
which.FILTERS = { "stuck", "route", "client", "state", "port", "domain", "target", "older", "idle" }

local function duration(option)
  return function(word)
    if not text.duration(tonumber(word) or word) then
      return nil, ("%s: expected a duration such as 60s or 5m, got '%s'"):format(option, word)
    end
    return word
  end
end

function which.define(command)
  command:flag("--stuck", "Only those that get nowhere: stuck, half dead, or connecting for over 10 seconds.")
  command:option("--route", "Only those of this route."):argname("NAME")
  command:option("--client", "Only those from an address, a CIDR or a glob."):argname("IP")
  command:option("--state", "routing, connecting, forwarding, handling, idle or closing."):argname("STATE")
    :choices({ "routing", "connecting", "forwarding", "handling", "idle", "closing" })
  command:option("--port", "Only those that came in on this port."):argname("N")
    :convert(asking.number("--port", 0, 65535))
  command:option("--domain", "Only those that asked for this name (a glob)."):argname("NAME")
  command:option("--target", "Only those to this target: host or host:port (a glob)."):argname("TARGET")
  command:option("--older", "Only those at least so old."):argname("TIME"):convert(duration("--older"))
  command:option("--idle", "Only those that moved no byte for so long."):argname("TIME"):convert(duration("--idle"))
end

---Whether one of them is given.
---@param options table
---@return boolean
function which.is_said(options)
  for _, name in ipairs(which.FILTERS) do
    if options[name] ~= nil and options[name] ~= false then
      return true
    end
  end
  return false
end

return which
