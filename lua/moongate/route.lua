-- SPDX-License-Identifier: MIT
--
-- moongate.route: the common routes, made by a call. Each helper returns a plain route table, as one would write it;
-- what is right in one is the schema's to say (moongate.schema). Options merge key by key into the route; `ports` among
-- them is match.ports.

local text = require "moongate.text"

local error, ipairs, next, pairs, type = error, ipairs, next, pairs, type
local getmetatable, setmetatable = getmetatable, setmetatable
local getinfo = debug.getinfo
local concat, sort = table.concat, table.sort

local LATER = { api = true, http = true, https = true, nftables = true, redirect = true, site = true, websocket = true }

-- The line of the route file that a helper was called from; nil: called from elsewhere, or in a tail call.
local function caller_line()
  local frames = {}
  for level = 3, 64 do
    local info = getinfo(level, "Sl")
    if not info then
      break
    end
    frames[#frames + 1] = info
  end
  local outermost = #frames
  while outermost > 0 and frames[outermost].what ~= "main" do
    outermost = outermost - 1
  end
  for i = 1, outermost do
    if frames[i].source == frames[outermost].source then
      return frames[i].currentline
    end
  end
end

-- One for each line: the loader reads it as it copies the route (runtime/loading/transfer.c).
local made_at = {}

local function mark(route)
  local line = caller_line()
  if line and line > 0 then
    made_at[line] = made_at[line] or { ["moongate.line"] = line }
    setmetatable(route, made_at[line])
  end
  return route
end

local function is_plain_table(value)
  return type(value) == "table" and getmetatable(value) == nil
end

-- Two routes with the same options must not share their tables.
local function copy(value)
  if not is_plain_table(value) then
    return value
  end
  local made = {}
  for key, item in next, value do
    made[key] = copy(item)
  end
  return made
end

local function is_map(value)
  return is_plain_table(value) and value[1] == nil
end

-- `options` over `base`, key by key; lists take each other's place.
local function merge(base, options)
  for key, value in next, options do
    if is_map(value) and is_map(base[key]) then
      merge(base[key], value)
    else
      base[key] = copy(value)
    end
  end
end

-- Called from a check, which a helper calls: the fault is its caller's.
local function argument_error(name, index, expected, value)
  local got = value == nil and "nothing" or type(value) == "string" and text.show(value) or "a " .. type(value)
  error(("bad argument #%d to 'moongate.route.%s' (%s expected, got %s)"):format(index, name, expected, got), 4)
end

local function check_options(name, index, options)
  if options ~= nil and type(options) ~= "table" then
    argument_error(name, index, 'a table of options such as { name = "site" }', options)
  end
end

local function check_domains(name, domains, needed)
  local kind = type(domains)
  if kind ~= "string" and kind ~= "table" and (needed or (domains ~= nil and domains ~= false)) then
    argument_error(name, 1, needed and 'a domain such as "*.example.com"' or "a domain, or nil for any,", domains)
  end
end

local function check_ports(name, index, ports)
  local kind = type(ports)
  if kind ~= "number" and kind ~= "string" and kind ~= "table" then
    argument_error(name, index, 'ports such as 443, { 80, 443 } or "8000-8100"', ports)
  end
end

local function check_type(name, index, wanted, expected, value)
  if type(value) ~= wanted then
    argument_error(name, index, expected, value)
  end
end

local function check_target(name, to)
  local kind = type(to)
  if kind ~= "string" and kind ~= "table" and kind ~= "function" then
    argument_error(name, 2, 'a target such as "10.0.0.1:443", a list of them, or a function', to)
  end
end

local function finish(route, options)
  if options then
    local rest = {}
    for key, value in next, options do
      rest[key] = value
    end
    rest.ports = nil
    merge(route, rest)
    if options.ports ~= nil and is_map(route.match) then
      route.match.ports = copy(options.ports)
    end
  end
  return route
end

local function action_for(to)
  if type(to) == "table" and to[1] ~= nil then
    return { targets = copy(to) }
  end
  return { target = copy(to) }
end

-- "10.0.0.1", "[2001:db8::1]" or { host = … }: says where to, but not at which port.
local function lacks_port(to)
  if type(to) == "string" then
    return not to:find(":", 1, true) or to:find("^%[.*%]$") ~= nil
  elseif type(to) ~= "table" then
    return false
  elseif to[1] == nil then
    return to.host ~= nil and to.port == nil and not (type(to.host) == "string" and to.host:find("^unix:"))
  end
  for _, one in ipairs(to) do
    if lacks_port(one) then
      return true
    end
  end
  return false
end

local route = {}

---TLS connections that ask for one of the domains, forwarded as they are: the target has the certificate. Port 443,
---unless the options have `ports`.
function route.passthrough(domains, to, options)
  check_domains("passthrough", domains, true)
  check_target("passthrough", to)
  check_options("passthrough", 3, options)
  local action = action_for(to)
  action.tls = { mode = "passthrough" }
  return mark(finish({ match = { ports = 443, domains = copy(domains) }, action = action }, options))
end

---Whatever arrives at the ports. A target that names no port keeps the one that the client came in on.
function route.ports(ports, to, options)
  check_ports("ports", 1, ports)
  check_target("ports", to)
  check_options("ports", 3, options)
  local action = action_for(to)
  action.port = lacks_port(to) and "preserve" or nil
  return mark(finish({ match = { ports = copy(ports) }, action = action }, options))
end

---Several targets in turn: TLS connections that ask for one of the domains (port 443, unless the options have
---`ports`), or without domains whatever arrives at the `ports` of the options.
function route.balance(domains, targets, options)
  check_domains("balance", domains, false)
  check_type("balance", 2, "table", 'a list of targets such as { "10.0.0.1:443", "10.0.0.2:443" }', targets)
  check_options("balance", 3, options)
  local match, action = {}, { targets = copy(targets) }
  if domains then
    match = { ports = 443, domains = copy(domains) }
    action.tls = { mode = "passthrough" }
  end
  return mark(finish({ match = match, action = action }, options))
end

---Connections for a function(socket, context).
function route.handler(domains, ports, fn, options)
  check_domains("handler", domains, false)
  check_ports("handler", 2, ports)
  check_type("handler", 3, "function", "a function(socket, context)", fn)
  check_options("handler", 4, options)
  local match = { ports = copy(ports), domains = domains and copy(domains) or nil }
  return mark(finish({ match = match, action = { handler = fn } }, options))
end

local names = {}
for name in pairs(route) do
  names[#names + 1] = name
end
sort(names)

return setmetatable(route, {
  __index = function(_, name)
    if type(name) ~= "string" then
      return nil
    end
    local near = not LATER[name] and text.nearest(name, names)
    local why = LATER[name] and "needs what a later version brings" or "is not there"
    error(("moongate.route.%s %s%s: there are %s"):format(name, why, near and (", did you mean %s?"):format(near) or "",
      concat(names, ", ")), 2)
  end,
})
