-- SPDX-License-Identifier: MIT
--
-- The types of the schema for where a route forwards to: target, targets, and the port of an action. A target's
-- normal form is { host =, port =, preserve =, host_function =, port_function =, weight = }; functions are slots. One
-- without a port takes the action's (`finish`).

local literal = require("moongate.schema.literal")
local mark = require("moongate.schema.mark")

local targets = { types = {} }

local MAX_TARGETS = 256
local MAX_UNIX_PATH = 107
local EXPECTED = '"host:port", "unix:/path", { host = …, port = … } or a function'
local NO_IPV4 = "an IPv4 address has four numbers from 0 to 255"
local PORT = { type = "target_port" }
local WEIGHT = { type = "integer", min = 1, max = 256, default = 1 }

local function is_plain_table(value)
  return type(value) == "table" and not mark.kind(value)
end

-- A port of a target: sets port, preserve or port_function of `target`.
local function set_port(check, target, value)
  if value == "preserve" then
    target.preserve = true
  elseif mark.kind(value) == "function" then
    target.port_function = check:slot()
  elseif type(value) == "number" and value == math.floor(value) and value >= 1 and value <= 65535 then
    target.port = value
  else
    local number = type(value) == "string" and value:match("^%d+$")
    local hint = number and ("without quotes: port = %s"):format(number)
    check:expected('a port from 1 to 65535, "preserve" or a function', value, hint)
    return false
  end
  return true
end

function targets.types.target_port(check, value)
  local target = {}
  return set_port(check, target, value) and target or nil
end

-- A host alone: a name, a literal address, or "unix:/path". Returns it without brackets.
local function host_name(check, value)
  local path = value:match("^unix:(.*)$")
  if path then
    if path:sub(1, 1) ~= "/" or #path > MAX_UNIX_PATH or path:find("%z") then
      check:fault('expected "unix:/path" with at most %d bytes of path, got %s', MAX_UNIX_PATH, check.show(value))
      return nil
    end
    return value
  end
  local bare = value:match("^%[(.*)%]$") or value
  if bare:find(":.*:") then
    if not literal.is_ipv6(bare) then
      check:expected("a host name or an address", value, "that is no IPv6 address")
      return nil
    end
    return bare
  elseif value:match("^[%d.]+$") and not literal.is_ipv4(value) then
    check:expected("a host name or an address", value, NO_IPV4)
    return nil
  elseif #value > 253 or not value:match("^[%w_][%w_.%-]*$") then
    local scheme, name, port = value:match("^%a+://"), value:match("^([%w_.%-]+):(%d+)$")
    local hint = scheme and ('leave out "%s"'):format(scheme)
      or port and ('write host = "%s", port = %s'):format(name, port)
    check:expected("a host name or an address", value, hint)
    return nil
  end
  return value
end

-- "host:port" or "unix:/path", and "host" alone where the action has a port.
local function from_string(check, value)
  if value:match("^unix:") then
    local host = host_name(check, value)
    return host and { host = host }
  end
  local scheme = value:match("^%a[%w+.-]*://")
  if scheme then
    check:expected('"host:port"', value, ('leave out "%s"'):format(scheme))
    return nil
  end
  local host, port = value:match("^(%[.*%]):(%d+)$")
  if not host then
    host, port = value:match("^([^:]*):(%d+)$")
  end
  if host and host ~= "" then
    port = tonumber(port)
    if port < 1 or port > 65535 then
      check:fault('expected "host:port" with a port from 1 to 65535, got %s', check.show(value))
      return nil
    end
    host = host_name(check, host)
    return host and { host = host, port = port }
  elseif value:find(":.*:") and value:sub(1, 1) ~= "[" then
    local meant = literal.bracketed(value)
    check:expected('"host:port"', value, meant and ('an IPv6 address stands in brackets: "%s"'):format(meant))
    return nil
  elseif value:match("^:?%d+$") then
    local example = "127.0.0.1:" .. value:match("%d+")
    check:expected('"host:port"', value, ('a port alone names no host: "%s"'):format(example))
    return nil
  elseif value == "" or (value:find(":", 1, true) and not value:match("^%[.*%]$")) then
    check:expected('"host:port"', value)
    return nil
  elseif not check.action_port then
    check:expected('"host:port"', value, 'add ":80"')
    return nil
  end
  host = host_name(check, value)
  return host and { host = host }
end

local FIELDS = { fields = { host = {}, port = {}, weight = {} } }

-- The hosts of a { host = … }: appends a target for each to `list`.
local function add_hosts(check, list, host)
  if mark.kind(host) == "function" then
    list[#list + 1] = { host_function = check:slot() }
  elseif type(host) == "string" then
    local name = host_name(check, host)
    list[#list + 1] = name and { host = name }
  elseif is_plain_table(host) and #host > 0 then
    for i, item in ipairs(host) do
      check.path[#check.path + 1] = i
      if is_plain_table(item) then
        check:expected("a host name or an address", item)
      else
        add_hosts(check, list, item)
      end
      check.path[#check.path] = nil
    end
  elseif host == nil then
    check:fault('is missing: host = "127.0.0.1", a list of hosts, or a function')
  else
    check:expected("a host name, an address, a list of them or a function", host)
  end
end

-- Whether a host is, or each of a list is, the path of a unix socket.
local function is_unix(host)
  if is_plain_table(host) and #host > 0 then
    for _, item in ipairs(host) do
      if not is_unix(item) then
        return false
      end
    end
    return true
  end
  return type(host) == "string" and host:match("^unix:") ~= nil
end

local function from_table(check, value, weighted)
  value = check:straighten(value, FIELDS)
  local list = {}
  check.path[#check.path + 1] = "host"
  add_hosts(check, list, value.host)
  check.path[#check.path] = nil
  local port = value.port ~= nil and check:at("port", PORT, value.port) or nil
  if value.weight ~= nil and not weighted then
    check.path[#check.path + 1] = "weight"
    check:fault("belongs to one of several: targets = { { host = …, port = …, weight = 2 }, … }")
    check.path[#check.path] = nil
  end
  local weight = weighted and check:at("weight", WEIGHT, value.weight) or 1
  local has_unix = false
  for _, target in ipairs(list) do
    target.weight = weight
    if target.host and target.host:match("^unix:") then
      has_unix = true
    elseif port then
      target.port, target.preserve, target.port_function = port.port, port.preserve, port.port_function
    end
  end
  if value.port ~= nil and has_unix then
    check:fault("a unix socket has no port: leave out `port`")
  elseif value.port == nil and not check.action_port and value.host ~= nil and not is_unix(value.host) then
    check:fault("is missing a port: add port = 80")
  end
  return list
end

-- `value` as a list of normal targets; empty after a fault.
local function parse(check, value, weighted)
  if type(value) == "string" then
    return { from_string(check, value) }
  elseif is_plain_table(value) then
    return from_table(check, value, weighted)
  end
  local hint = type(value) == "number" and ('a port alone names no host: "127.0.0.1:%d"'):format(value)
  check:expected(weighted and '"host:port" or { host = …, port = …, weight = … }' or EXPECTED, value, hint)
  return {}
end

---A list of targets, or { target_function = slot }.
function targets.types.target(check, value)
  if mark.kind(value) == "function" then
    return { target_function = check:slot() }
  elseif is_plain_table(value) and value[1] ~= nil then
    local host, port = value[1], value[2]
    local is_pair = type(host) == "string" and type(port) == "number" and #value == 2
    local meant = is_pair and ('write "%s:%d"'):format(host, port) or "name it `targets`"
    check:fault("expected one target, got a list: %s", meant)
    return nil
  end
  return parse(check, value, false)
end

function targets.types.targets(check, value)
  if not is_plain_table(value) or value.host ~= nil then
    return parse(check, value, true)
  end
  local list = {}
  for i, item in ipairs(value) do
    check.path[#check.path + 1] = i
    for _, target in ipairs(parse(check, item, true)) do
      list[#list + 1] = target
    end
    check.path[#check.path] = nil
  end
  if #value == 0 then
    check:fault('names no target: list one at least, such as targets = { "10.0.0.1:80" }')
  elseif #list > MAX_TARGETS then
    check:fault("has %d targets: at most %d", #list, MAX_TARGETS)
  end
  return list
end

-- One of the words, or { balance_function = slot }.
function targets.types.balance(check, value, descriptor)
  if mark.kind(value) == "function" then
    return { balance_function = check:slot() }
  elseif type(value) == "string" then
    return check.types.string(check, value, descriptor)
  end
  check:expected('"round-robin", "least-connections", "source-hash" or a function', value)
end

---Gives the targets without a port the action's, and fills in what is left. `port`: of the action, normal, or nil;
---the place is that of action.port. `own`: it is the route's own, which has to have an effect.
function targets.finish(check, list, port, own)
  local used = false
  for _, target in ipairs(list) do
    local has_port = target.port or target.preserve or target.port_function
    if port and not has_port and not (target.host and target.host:match("^unix:")) then
      target.port, target.preserve, target.port_function = port.port, port.preserve, port.port_function
      used = true
    end
    target.port, target.preserve, target.weight = target.port or 0, target.preserve or false, target.weight or 1
  end
  if port and own and not used and #list > 0 then
    check:fault("each target has a port of its own already: leave one of them out")
  end
end

return targets
