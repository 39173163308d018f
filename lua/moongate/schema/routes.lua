-- SPDX-License-Identifier: MIT
--
-- From what a route file returned to normal routes: the schema, and what holds between fields and between routes.
-- Functions become slots: indices of the list of functions, each with its route, its field and the path to it.

local Check = require("moongate.schema.check")
local Place = require("moongate.schema.place")
local between = require("moongate.schema.between")
local defaults = require("moongate.schema.defaults")
local mark = require("moongate.schema.mark")
local packed = require("moongate.schema.packed")
local schema = require("moongate.schema")
local targets = require("moongate.schema.targets")
local types = require("moongate.schema.config").types

local routes = {}

local MAX_ROUTES = 262144
local ALSO = "is also the name of a route in %s: rename one of them"

local function is_plain_table(value)
  return type(value) == "table" and not mark.kind(value)
end

-- The descriptor of a route's timeouts, with the config's as defaults: as seconds they are what a user would write.
local function with_timeouts(timeouts)
  local fields = {}
  for name, descriptor in pairs(schema.route.fields.timeouts.fields) do
    local copy = {}
    for key, value in pairs(descriptor) do
      copy[key] = value
    end
    local inherited = timeouts[descriptor.inherited]
    if type(inherited) == "table" then
      copy.default = { inherited.plain / 1000, tls = inherited.tls / 1000 }
    elseif inherited then
      copy.default = inherited / 1000
    end
    fields[name] = copy
  end
  return { type = "table", fields = fields, shared = true, example = schema.route.fields.timeouts.example }
end

-- The descriptor of a route, with the config's values as defaults.
local function with_inherited(options)
  local fields, action = {}, {}
  for name, descriptor in pairs(schema.route.fields) do
    fields[name] = descriptor
  end
  fields.timeouts = with_timeouts(options.timeouts)
  if options.keep_alive then
    local own = schema.route.fields.keep_alive
    local both = { type = own.type, doc = own.doc, inherited = options.keep_alive, default = options.keep_alive }
    fields.keep_alive = both
  end
  for key, value in pairs(schema.route.fields.action) do
    action[key] = value
  end
  action.fields = {}
  for name, descriptor in pairs(schema.route.fields.action.fields) do
    action.fields[name] = descriptor
  end
  local send = options.proxy_send ~= 0 and options.proxy_send or false
  action.fields.send_proxy_protocol = { type = "proxy_send", default = send }
  fields.action = action
  return { type = "table", kind = "route", fields = fields }
end

-- `own`: what the route itself says of its action, without the defaults.
local function check_action(check, normal, raw, own)
  local action = normal.action
  local stands = {}
  for _, name in ipairs({ "handler", "target", "targets" }) do
    if raw[name] ~= nil then
      stands[#stands + 1] = name
    end
  end
  check.path[1] = "action"
  if #stands == 0 then
    local meant = check.meant
    if not (meant.action or meant["action.target"] or meant["action.targets"] or meant["action.handler"]) then
      check:missing('says nothing to do: set `target` ("host:port"), `targets` or `handler` (a misspelt name is nil)')
    end
  elseif #stands > 1 then
    check:fault("has %s, which can't work together: leave one of them", table.concat(stands, " and "))
  elseif action.port and (raw.handler ~= nil or (action.target and action.target.target_function)) then
    check.path[2] = "port"
    check:fault(
      "can't work together with a %s",
      raw.handler ~= nil and "handler" or "target function, which returns host, port"
    )
  end
  check.path[2] = "port"
  action.target_function = action.target and action.target.target_function
  action.targets = action.targets or (not action.target_function and action.target) or {}
  action.target = nil
  if type(action.balance) == "table" then
    action.balance_function, action.balance = action.balance.balance_function, nil
    if raw.targets == nil then
      check.path[2] = "balance"
      check:fault("chooses among `targets`: list them")
      check.path[2] = "port"
    end
  end
  targets.finish(check, action.targets, action.port, own.port ~= nil)
  check.path[2], check.path[1] = nil, nil
end

-- Whether the address that a target names is one that the route listens on.
local function is_own(host, address)
  if address and address ~= "0.0.0.0" and address ~= "::" then
    return host == address
  end
  return host == "localhost" or host == "::1" or host:find("^127%.%d+%.%d+%.%d+$") ~= nil
end

-- A target that is the route itself: each connection would make the next one, until nothing is left to make one of.
local function warn_of_loop(check, normal)
  local match = normal.match
  if not match or not match.ports or match.client_ip or match.when then
    return
  end
  for _, target in ipairs(normal.action.targets) do
    local loops = target.preserve
    for _, range in ipairs(target.port and not loops and match.ports or {}) do
      loops = loops or (target.port >= range.from and target.port <= range.to)
    end
    if loops and target.host and is_own(target.host, match.address) then
      check.path[1] = "action"
      check:warn("forwards to this very route: %s is where it listens itself", check.show(target.host))
      check.path[1] = nil
      return
    end
  end
end

-- Whether the user asks for something there; what is wrong with it is another matter.
local function is_asked(value)
  return value ~= nil and not (is_plain_table(value) and next(value) == nil)
end

-- What a route asks of TLS has to be there: what it matches by is in the client's first message, or it can't be known.
-- `match`: as it was written.
local function check_tls(check, normal, match)
  local action = normal.action
  if check.meant["action.tls"] then
    return
  end
  check.path[1] = "match"
  if is_asked(match.domains) then
    check.path[2] = "domains"
    local plain = action.handler and "a handler" or action.protocol == "tcp" and 'protocol = "tcp"'
    check:fault(
      "%s: to take the connections of TLS that ask for it, add action = { tls = { mode = \"passthrough\" } }",
      plain and ("nothing on a plain connection names a domain, and with %s it is no HTTP either"):format(plain)
        or "without `tls` it would be the Host of HTTP, which this version does not read yet"
    )
  end
  if is_asked(match.tls_version) then
    check.path[2] = "tls_version"
    check:fault('a plain connection has none: add action = { tls = { mode = "passthrough" } }, or remove it')
  end
  check.path[2], check.path[1] = nil, nil
end

-- Names that the metrics give to what no route has.
local RESERVED = { ["(none)"] = true, ["(removed)"] = true }

local function check_name(check, name, others, index)
  if RESERVED[name] then
    check.path[1] = "name"
    check:fault("is taken: the metrics have %s for what belongs to no route", name)
    check.path[1] = nil
  end
  local other = others[name] or between.find(index, name)
  if other then
    check.path[1] = "name"
    check:fault(ALSO, between.name_place(other))
    check.path[1] = nil
  end
end

-- Slots of a route that is left out are given back.
local function forget_functions(check, count)
  for i = #check.functions, count + 1, -1 do
    check.functions[i] = nil
  end
end

-- What the defaults gave is no fault of this file's alone.
local function name_defaults(check, base, raw, first)
  for i = first, base and #check.faults or 0 do
    local fault = check.faults[i]
    if defaults.gave(base, raw, fault.path, check.index and 2 or 1) then
      fault.message = fault.message .. " (it stands in the `defaults` of the config)"
    end
  end
end

-- The one of the last file: most have the same.
local last_text, last_descriptor

local function descriptor_for(options)
  if not options.inherited then
    return with_inherited(options)
  elseif options.inherited ~= last_text then
    last_text, last_descriptor = options.inherited, with_inherited(defaults.read(options.inherited))
  end
  return last_descriptor
end

---@class moongate.schema.File a file that is being checked
---@field check moongate.Check
---@field descriptor table of a route
---@field base table|nil the defaults
---@field place moongate.Place
---@field index moongate.schema.Index the routes of the files before
---@field names table<string, moongate.schema.Known> of this file
---@field list moongate.schema.Known[] likewise

-- The normal form of a route; nil when it is not enabled, or when what it leaves out is not known.
local function check_route(file, written, default_name)
  local check, functions, faults = file.check, #file.check.functions, #file.check.faults
  local name = written.name
  if type(name) == "string" and name ~= "" and not name:find("%c") then
    check.route = name
  end
  check.meant, check.written, check.incomplete = {}, {}, false
  local raw = check:straighten(written, file.descriptor)
  local merged = defaults.merge(file.base, raw)
  local action = is_plain_table(merged.action) and merged.action or {}
  check.action_port = action.port ~= nil or check.open
  local normal = check:value(file.descriptor, merged)
  normal.name = normal.name or default_name
  if merged.action == nil or is_plain_table(merged.action) then
    check_action(check, normal, action, is_plain_table(raw.action) and raw.action or {})
    if action.tls == nil or action.tls == false then
      check_tls(check, normal, is_plain_table(merged.match) and merged.match or {})
    end
    warn_of_loop(check, normal)
  end
  name_defaults(check, file.base, written, faults + 1)
  if merged.enabled == false then
    forget_functions(check, functions)
    return nil
  end
  check_name(check, normal.name, file.names, file.index)
  local incomplete = check.open and check.incomplete
  local known = #check.faults == faults and not incomplete and between.known(file.place, { check.index }, normal)
    or { place = file.place, at = { check.index }, name = normal.name }
  known.made = check.made
  file.names[normal.name] = file.names[normal.name] or known
  if incomplete then
    forget_functions(check, functions)
    return nil
  end
  file.list[#file.list + 1] = known
  return normal
end

-- The routes of the file as a list, or nil after a fault.
local function as_list(check, value)
  if not is_plain_table(value) then
    local hint = value == nil and "it ends with: return { … }" or nil
    if mark.kind(value) == "function" then
      hint = "call it: return f(), or return what it would make"
    end
    check:expected("the file to return a route or a list of routes", value, hint)
    return nil
  end
  local count, strings = 0, false
  for key in pairs(value) do
    count = count + 1
    strings = strings or type(key) == "string"
  end
  if strings and value[1] == nil then
    return { value }, true
  elseif strings or count ~= #value then
    check:fault("returns neither a route nor a list of routes, but both: return { { … }, { … } }")
    return nil
  elseif count > MAX_ROUTES then
    check:fault("has %d routes: at most %d in one file", count, MAX_ROUTES)
    return nil
  end
  return value, false
end

local function go_on() end

local function check_items(file, list, single, options, result)
  local check = file.check
  for i, raw in ipairs(list) do
    file.breathe()
    local default_name = ("%s#%d"):format(options.file, i)
    check.route, check.index, check.made = default_name, not single and i or nil, mark.line(raw)
    if not is_plain_table(raw) then
      check:expected("a route (a table)", raw)
    elseif is_plain_table(raw[1]) then
      check:fault("is a list of routes within the list: take one pair of braces away")
    else
      result.routes[#result.routes + 1] = check_route(file, raw, default_name)
    end
  end
  check.index, check.made = nil, nil
end

-- What the loader refused to copy: "[1].match.ports" as a path, and the fault there.
local function refuse(check, refused)
  for name, index in refused.place:gmatch("([^.%[%]]*)%[?(%d*)%]?") do
    if name ~= "" then
      check.path[#check.path + 1] = name
    end
    if index ~= "" then
      check.path[#check.path + 1] = tonumber(index)
    end
  end
  check:fault("%s", refused.message)
end

-- The names of the routes and where they stand, so that a file with faults can be looked at beside others too.
local function named(list)
  local names = {}
  for i, known in ipairs(list) do
    names[i] = { route = known.name, field = "name", message = "", line = between.name_line(known) }
  end
  return names
end

---@class moongate.schema.FileOptions
---@field file string base name
---@field path string for messages
---@field source string|nil the text of the file, for the lines of faults
---@field inherited string|nil what routes take from the config, as it wrote it; else it stands here:
---@field timeouts table|nil the config's, normal
---@field keep_alive table|nil likewise
---@field proxy_send integer|nil likewise, the version; 0: none
---@field defaults string|nil the config's, normal
---@field names moongate.schema.Index the routes of the files before; those of this file are added, if it has no fault
---@field breathe fun()|nil called often: the thread that checks gives way to others
---@field refused table|nil { place =, message = }: why there is no value

---@param value any what the file returned
---@param options moongate.schema.FileOptions
---@return table normal { routes = those that are enabled, functions =, faults =, warnings =, known = for `admit`, or
---with faults named = { { route =, line = }, … } }
function routes.check(value, options)
  local breathe = options.breathe or go_on
  local descriptor = descriptor_for(options)
  local check = Check.new(types, descriptor)
  local base, unknown = defaults.read(options.defaults)
  check.open = unknown
  local file = {
    check = check,
    descriptor = descriptor,
    base = base,
    place = Place.new(options.path, options.source, options.breathe),
    index = options.names,
    breathe = breathe,
    names = {},
    list = {},
  }
  local result = { routes = {}, functions = check.functions, faults = check.faults, warnings = check.warnings }
  if options.refused then
    refuse(check, options.refused)
  else
    local list, single = as_list(check, value)
    check_items(file, list or {}, single, options, result)
  end
  breathe()
  if #check.faults == 0 then
    for i, known in ipairs(file.list) do
      result.routes[i].line = known.made or file.place:line(known.at)
    end
    breathe()
    result.known = packed.pack(file.place, file.list)
    breathe()
    for _, warning in ipairs(between.add(options.names, file.list)) do
      check.warnings[#check.warnings + 1] = warning
    end
  end
  if #check.faults > 0 then
    result.named = named(file.list)
  end
  file.place:add_lines(check.faults)
  file.place:add_lines(check.warnings)
  return result
end

---For a file that was checked before and has not changed: enters its routes among those of the files before it.
---@param kept moongate.schema.Packed `known` of its result
---@param names moongate.schema.Index
---@return table result { faults =, warnings = }: names that stand twice, and routes that are in the way
function routes.admit(kept, names)
  local known, place = packed.unpack(kept)
  local faults, warnings = {}, {}
  for _, route in ipairs(known) do
    local other = between.find(names, route.name)
    if other then
      local message = ALSO:format(between.name_place(other))
      faults[#faults + 1] = { route = route.name, field = "name", message = message, line = between.name_line(route) }
    end
  end
  if #faults == 0 then
    warnings = between.add(names, known)
    place:add_lines(warnings)
  end
  return { faults = faults, warnings = warnings }
end

return routes
