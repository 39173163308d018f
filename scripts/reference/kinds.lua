-- SPDX-License-Identifier: MIT
--
-- What the types of the schema are called on the page, and what an editor takes them for (LuaCATS). One entry for each
-- type: `words` and `lua`, texts or functions of the descriptor; `data`: `lua` without functions, for `defaults`
-- (false: can't stand there); `several`: the words for a list of them.

local text = require "moongate.text"

local kinds = {}

-- A value as a user would write it.
local function literal(value)
  if type(value) == "string" then
    return '"' .. value .. '"'
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local parts, keys = {}, {}
  for _, item in ipairs(value) do
    parts[#parts + 1] = literal(item)
  end
  for key in pairs(value) do
    if type(key) == "string" then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = key .. " = " .. literal(value[key])
  end
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end
kinds.literal = literal

local function quoted(words, separator)
  local list = {}
  for i, word in ipairs(words) do
    list[i] = ('"%s"'):format(word)
  end
  return table.concat(list, separator)
end

local function code(words)
  local list = {}
  for i, word in ipairs(words) do
    list[i] = ('`"%s"`'):format(word)
  end
  return table.concat(list, ", ")
end

local function milliseconds(ms)
  return ms < 1000 and ("%dms"):format(ms) or text.format_duration(ms / 1000)
end

-- ", 1 to 256", of what the descriptor bounds.
local function range(descriptor, show)
  local min, max = descriptor.min, descriptor.max
  local words = ""
  if min and max then
    words = (", %s to %s"):format(show(min), show(max))
  elseif min and min > 0 then
    words = (", at least %s"):format(show(min))
  elseif min then
    words = ", 0 or more"
  elseif max then
    words = (", at most %s"):format(show(max))
  end
  return descriptor.off and words .. "; `false`: none" or words
end

local function number(value)
  return ("%d"):format(value)
end

local entry

local types = {
  boolean = { words = "boolean", lua = "boolean" },
  size = {
    words = function(descriptor)
      return "size" .. range(descriptor, text.format_bytes)
    end,
    lua = function(descriptor)
      return descriptor.off and "moongate.Size|false" or "moongate.Size"
    end,
  },
  rate = { words = "rate", lua = "integer|string" },
  duration = {
    words = function(descriptor)
      return "duration" .. range(descriptor, milliseconds)
    end,
    lua = function(descriptor)
      return (descriptor.off or (descriptor.min or 0) == 0) and "moongate.Duration|false" or "moongate.Duration"
    end,
  },
  duration_pair = {
    words = "duration, or `{ duration, tls = duration }`",
    lua = "moongate.DurationPair|moongate.Duration|false",
  },
  count_in_window = { words = "`{ count, duration }`, or `false`", lua = "moongate.CountInWindow|false" },
  integer = {
    words = function(descriptor)
      local words = "integer" .. range(descriptor, number)
      return descriptor.words and ("%s, or %s"):format(words, code(descriptor.words)) or words
    end,
    lua = function(descriptor)
      local words = descriptor.words and "|" .. quoted(descriptor.words, "|") or ""
      return "integer" .. words .. (descriptor.off and "|false" or "")
    end,
  },
  string = {
    words = function(descriptor)
      return descriptor.enum and code(descriptor.enum) or descriptor.off and "string, or `false`" or "string"
    end,
    lua = function(descriptor)
      return descriptor.enum and quoted(descriptor.enum, "|") or descriptor.off and "string|false" or "string"
    end,
  },
  account = { words = "name or number", lua = "string|integer" },
  list = {
    words = function(descriptor)
      local of = entry(descriptor.of)
      return "list of " .. (of.several or kinds.words(descriptor.of) .. "s")
    end,
    lua = function(descriptor)
      local one = kinds.lua(descriptor.of)
      return ("%s|%s[]"):format(one, one:find("|", 1, true) and "(" .. one .. ")" or one)
    end,
  },
  listen = { words = '`"address:port"`, or `false`', lua = "string|false" },
  nameserver = { words = "address", several = "addresses", lua = "string" },
  host_name = { words = "name", several = "names", lua = "string" },
  address = { words = "address", lua = "string" },
  ip_pattern = { words = "address, network or glob", several = "addresses, networks and globs", lua = "string" },
  keep_alive = {
    words = function(descriptor)
      return "treatment, `{ treatment, multiplier }`" .. (descriptor.plain and "" or ", or function")
    end,
    lua = function(descriptor)
      local data = "moongate.Treatment|moongate.KeepAlive"
      return descriptor.plain and data or data .. "|moongate.KeepAliveFunction"
    end,
    data = "moongate.Treatment|moongate.KeepAlive",
  },
  proxy_accept = { words = '`"auto"`, boolean', lua = '"auto"|boolean' },
  proxy_send = {
    words = function(descriptor)
      return "boolean, `1`, `2`" .. (descriptor.plain and "" or ", or table")
    end,
    lua = function(descriptor)
      return "boolean|1|2" .. (descriptor.plain and "" or "|moongate.ProxyHeader")
    end,
  },
  partial_route = {
    words = "[a route](#a-route), of which any part may be missing, without functions",
    lua = "moongate.Config.Defaults",
  },
  ports = { words = "port, range, or list", lua = "moongate.PortRange|moongate.PortRange[]" },
  domains = { words = "glob, or list", lua = "string|string[]" },
  client_ips = { words = "address, network or glob, or list", lua = "string|string[]" },
  tls_versions = { words = "version, or list", lua = "moongate.TlsVersion|moongate.TlsVersion[]" },
  target = {
    words = "target, or function",
    lua = "string|moongate.Target|moongate.TargetFunction",
    data = "string|moongate.Target",
  },
  targets = { words = "list of targets", lua = "(string|moongate.WeightedTarget)[]" },
  balance = {
    words = function(descriptor)
      return code(descriptor.enum) .. ", or function"
    end,
    lua = function(descriptor)
      return quoted(descriptor.enum, "|") .. "|moongate.BalanceFunction"
    end,
    data = function(descriptor)
      return quoted(descriptor.enum, "|")
    end,
  },
  target_port = {
    words = 'port, `"preserve"`, or function',
    lua = 'integer|"preserve"|moongate.PortFunction',
    data = 'integer|"preserve"',
  },
  handler = { words = "function", lua = "moongate.Handler", data = false },
  ["function"] = { words = "function", lua = "fun(context: moongate.Context): boolean?", data = false },
}

-- Types that the schema has, and this file has not, by name: they come out as anything.
kinds.unknown = {}

local ANYTHING = {
  words = function(descriptor)
    return descriptor.enum and code(descriptor.enum) or ""
  end,
  lua = "any",
}

function entry(descriptor)
  if not types[descriptor.type] then
    kinds.unknown[descriptor.type] = true
  end
  return types[descriptor.type] or ANYTHING
end

local function say(value, descriptor)
  return type(value) == "function" and value(descriptor) or value
end

-- For the page: "integer, 1 to 256".
function kinds.words(descriptor)
  return say(entry(descriptor).words, descriptor)
end

-- For editors. With `plain` without functions; false when nothing is left.
function kinds.lua(descriptor, plain)
  local kind = entry(descriptor)
  if plain and kind.data ~= nil then
    return say(kind.data, descriptor)
  end
  return say(kind.lua, descriptor)
end

-- Whether it is a table of fields, with a section and a class of its own.
function kinds.is_table(descriptor)
  return descriptor.fields ~= nil
end

return kinds
