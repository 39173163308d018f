-- SPDX-License-Identifier: MIT
--
-- From what a route file returned to normal routes: the schema, and what holds between fields and between routes.
-- Functions become slots: indices of the list of functions, each with its route, its field and the path to it.

local Check = require("moongate.schema.check")
local mark = require("moongate.schema.mark")
local schema = require("moongate.schema")
local targets = require("moongate.schema.targets")
local types = require("moongate.schema.config").types

local routes = {}

local MAX_ROUTES = 65536

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
  return { type = "table", fields = fields }
end

local function check_action(check, normal, raw)
  local action = normal.action
  local stands = {}
  for _, name in ipairs({ "handler", "target", "targets" }) do
    if raw[name] ~= nil then
      stands[#stands + 1] = name
    end
  end
  check.path[1] = "action"
  if #stands == 0 then
    check:fault('says nothing to do: set `target` ("host:port"), `targets` or `handler`')
  elseif #stands > 1 then
    check:fault("has %s: exactly one of them can stand", table.concat(stands, " and "))
  elseif action.port and (raw.handler ~= nil or (action.target and action.target.target_function)) then
    check:fault(
      "port can't stand beside a %s",
      raw.handler ~= nil and "handler" or "target function, which returns host, port"
    )
  end
  check.path[2] = "port"
  action.target_function = action.target and action.target.target_function
  action.targets = action.targets or (not action.target_function and action.target) or {}
  action.target = nil
  targets.finish(check, action.targets, action.port)
  check.path[2], check.path[1] = nil, nil
end

local function check_name(check, name, names, place)
  local other = names[name]
  if other then
    check.path[1] = "name"
    check:fault("is also the name of %s: rename one of them", other)
    check.path[1] = nil
  else
    names[name] = place
  end
end

-- Slots of a route that is left out are given back.
local function forget_functions(check, count)
  for i = #check.functions, count + 1, -1 do
    check.functions[i] = nil
  end
end

local function check_route(check, descriptor, raw, default_name, place, names)
  local functions = #check.functions
  check.route = type(raw.name) == "string" and raw.name ~= "" and raw.name or default_name
  local action = is_plain_table(raw.action) and raw.action or {}
  check.action_port = action.port ~= nil
  local normal = check:value(descriptor, raw)
  normal.name = normal.name or default_name
  if raw.action == nil or is_plain_table(raw.action) then
    check_action(check, normal, action)
  end
  if raw.enabled == false then
    forget_functions(check, functions)
    return nil
  end
  check_name(check, normal.name, names, place)
  return normal
end

-- The routes of the file as a list, or nil after a fault.
local function as_list(check, value)
  if not is_plain_table(value) then
    local hint = value == nil and "it ends with: return { … }" or nil
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

---@class moongate.schema.FileOptions
---@field file string base name
---@field path string for messages
---@field timeouts table the config's, normal
---@field names table<string, string> which are taken by the files before, and where; added to

---@param value any what the file returned
---@param options moongate.schema.FileOptions
---@return table normal { routes = those that are enabled, functions =, faults =, warnings = }
function routes.check(value, options)
  local check = Check.new(types)
  local result = { routes = {}, functions = check.functions, faults = check.faults, warnings = check.warnings }
  local list, single = as_list(check, value)
  local fields = {}
  for name, descriptor in pairs(schema.route.fields) do
    fields[name] = descriptor
  end
  fields.timeouts = with_timeouts(options.timeouts)
  local descriptor = { type = "table", fields = fields }
  for i, raw in ipairs(list or {}) do
    local default_name = ("%s#%d"):format(options.file, i)
    check.route = default_name
    if is_plain_table(raw) then
      local place = single and "the route in " .. options.path or ("route %d in %s"):format(i, options.path)
      result.routes[#result.routes + 1] = check_route(check, descriptor, raw, default_name, place, options.names)
    else
      check:expected("a route (a table)", raw)
    end
  end
  return result
end

return routes
