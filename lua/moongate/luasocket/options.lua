-- SPDX-License-Identifier: MIT
--
-- The options of sockets that require "socket" gives, by LuaSocket's names. What is set before there is a descriptor is
-- kept until there is one.

local SWITCH, NUMBER = "boolean", "number"

local kinds = {
  ["keepalive"] = SWITCH,
  ["reuseaddr"] = SWITCH,
  ["reuseport"] = SWITCH,
  ["tcp-nodelay"] = SWITCH,
  ["tcp-keepidle"] = NUMBER,
  ["tcp-keepcnt"] = NUMBER,
  ["tcp-keepintvl"] = NUMBER,
  ["recv-buffer-size"] = NUMBER,
  ["send-buffer-size"] = NUMBER,
  ["linger"] = "table",
}
-- Those that can be set only, or asked for only.
local set_only = {
  ["ipv6-v6only"] = SWITCH,
  ["tcp-defer-accept"] = NUMBER,
  ["tcp-fastopen"] = NUMBER,
  ["tcp-fastopen-connect"] = NUMBER,
}
local asked_only = { ["error"] = true }

-- Of a listener, or, as the kernel has linger, what would hold up the worker: what was sent goes out in any case.
local WITHOUT_EFFECT = { ["linger"] = true, ["tcp-defer-accept"] = true, ["tcp-fastopen"] = true }
-- Of sockets that are not connected yet.
local EARLY = { ["reuseport"] = true, ["ipv6-v6only"] = true, ["tcp-fastopen-connect"] = true }

local options = {}

local function check_name(name, known, others, method)
  if type(name) ~= "string" and type(name) ~= "number" then
    local got = name == nil and "no value" or type(name)
    error(("bad argument #1 to '%s' (string expected, got %s)"):format(method, got), 4)
  end
  name = tostring(name)
  local kind = known[name] or others[name]
  if not kind then
    error(("bad argument #1 to '%s' (unsupported option `%s')"):format(method, name:sub(1, 35)), 4)
  end
  return name, kind
end

local function check_linger(value)
  if type(value.on) ~= "boolean" then
    error("bad argument #2 to 'setoption' (boolean 'on' field expected)", 5)
  elseif not tonumber(value.timeout) then
    error("bad argument #2 to 'setoption' (number 'timeout' field expected)", 5)
  end
  return { on = value.on, timeout = math.floor(tonumber(value.timeout)) }
end

local function check_value(kind, count, value)
  if type(value) ~= kind and kind ~= NUMBER then
    local got = count == 0 and "no value" or type(value)
    error(("bad argument #2 to 'setoption' (%s expected, got %s)"):format(kind, got), 4)
  end
  if kind == "table" then
    return check_linger(value)
  end
  return kind == NUMBER and math.floor(tonumber(value) or 0) or value
end

--- Sets it on an open socket, or on a connected one; nil: on none yet.
function options.apply(one, name, value)
  if type(value) == "number" and not (value >= 1 and value <= 1e9) then
    return nil, "setsockopt failed"
  elseif not one or WITHOUT_EFFECT[name] or (EARLY[name] and one.receive) then
    return 1
  end
  local ok = one:setoption(name, value)
  if not ok then
    return nil, "setsockopt failed"
  end
  return 1
end

function options.set(self, name, ...)
  local kind
  name, kind = check_name(name, kinds, set_only, "setoption")
  local value = check_value(kind, select("#", ...), (...))
  local ok, err = options.apply(self.inner or self.opened, name, value)
  if not ok then
    return nil, err
  end
  self.stored[name] = value
  return 1
end

function options.get(self, name)
  name = check_name(name, kinds, asked_only, "getoption")
  local one = self.inner or self.opened
  if name == "error" then
    return self.opened and select(2, self.opened:connected()) or nil
  elseif name == "linger" then
    return self.stored.linger or { on = false, timeout = 0 }
  elseif not one or EARLY[name] and self.inner then
    return self.stored[name]
  end
  local value = one:getoption(name)
  if value == nil then
    return nil, "getsockopt failed"
  end
  return value
end

return options
