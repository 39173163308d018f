-- SPDX-License-Identifier: MIT
--
-- `defaults` of the config, a partial route: checked with the config, kept as text (plain data, the same text for the
-- same values), and merged under every route of a file.

local Check = require("moongate.schema.check")
local mark = require("moongate.schema.mark")
local schema = require("moongate.schema")

local defaults = { types = {} }

local function is_plain_table(value)
  return type(value) == "table" and not mark.kind(value)
end

-- A descriptor of which nothing is required.
local function partial(descriptor)
  local copy = {}
  for key, value in pairs(descriptor) do
    copy[key] = value
  end
  copy.required = nil
  if descriptor.fields then
    copy.fields = {}
    for name, field in pairs(descriptor.fields) do
      copy.fields[name] = partial(field)
    end
  end
  return copy
end

local PARTIAL_ROUTE = partial(schema.route)

-- A copy without functions and the like; says of each that it can't stand there.
local function without_functions(check, value)
  local copy = {}
  for key, item in pairs(value) do
    check.path[#check.path + 1] = key
    if is_plain_table(item) then
      copy[key] = without_functions(check, item)
    elseif mark.kind(item) then
      check:fault("functions can't stand in defaults: put them into a module beside routes/ and require it")
    else
      copy[key] = item
    end
    check.path[#check.path] = nil
  end
  return copy
end

local function by_type_and_value(a, b)
  if type(a) == type(b) then
    return a < b
  end
  return type(a) < type(b)
end

-- Lua that makes the value anew. Keys are strings and numbers.
local function write(value)
  if type(value) == "string" then
    return ("%q"):format(value)
  elseif type(value) == "number" then
    return ("%.17g"):format(value)
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local keys, parts = {}, {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys, by_type_and_value)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = ("[%s]=%s"):format(write(key), write(value[key]))
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

---A partial route; its normal form is text for `read`, nil without any.
function defaults.types.partial_route(check, value)
  if not is_plain_table(value) then
    check:expected("a table", value, 'such as defaults = { timeouts = { idle = "10m" } }')
    return nil
  end
  local before = #check.faults
  local plain = without_functions(check, value)
  if plain.name ~= nil then
    check.path[#check.path + 1] = "name"
    check:fault("can't stand in defaults: each route has a name of its own")
    check.path[#check.path], plain.name = nil, nil
  end
  local part = Check.new(check.types, schema.route)
  part.action_port = true -- a route may still give it
  part:value(PARTIAL_ROUTE, part:straighten(plain, PARTIAL_ROUTE))
  for _, fault in ipairs(part.faults) do
    local path = { unpack(check.path) }
    for _, key in ipairs(fault.path) do
      path[#path + 1] = key
    end
    fault.path, fault.field = path, fault.field ~= "" and "defaults." .. fault.field or "defaults"
    check.faults[#check.faults + 1] = fault
  end
  return #check.faults == before and next(plain) ~= nil and defaults.write(plain) or nil
end

---Plain data as text, the same for the same values: for `read`.
---@param value table
---@return string
function defaults.write(value)
  return "return " .. write(value)
end

---In the place of what `types.partial_route` makes, when nobody knows what the defaults are to be: what a route leaves
---out may stand there.
defaults.UNKNOWN = "return nil, true"

---What `types.partial_route` made, as a table.
---@param text string|nil
---@return table|nil
---@return boolean|nil unknown
function defaults.read(text)
  if text then
    return assert(loadstring(text, "=defaults"))()
  end
end

-- { plain, tls = … }, of which either may be left out.
local function merge_pairs(base, value)
  if type(value) ~= "table" then
    return value
  elseif type(base) ~= "table" then
    base = { base, tls = base }
  end
  local merged = {}
  for key, item in pairs(base) do
    merged[key] = item
  end
  for key, item in pairs(value) do
    merged[key] = item
  end
  return merged
end

local function merge_values(base, value, descriptor)
  if base == nil or value == nil then
    return value == nil and base or value
  elseif descriptor and descriptor.type == "duration_pair" and not mark.kind(value) then
    return merge_pairs(base, value)
  elseif not (descriptor and descriptor.fields and is_plain_table(base) and is_plain_table(value)) then
    return value
  end
  local merged = {}
  for key, item in pairs(base) do
    merged[key] = merge_values(item, value[key], descriptor.fields[key])
  end
  for key, item in pairs(value) do
    if merged[key] == nil then
      merged[key] = item
    end
  end
  return merged
end

-- What is left of the defaults' action under a route's: one that says itself what is done takes nothing from there that
-- says it otherwise, nor what can't stand beside it.
local function give_way(base, action)
  local stands = action.handler or action.target or action.targets
  if stands == nil then
    return base
  end
  local rest = {}
  for key, value in pairs(base) do
    rest[key] = value
  end
  rest.handler, rest.target, rest.targets = nil, nil, nil
  if action.handler ~= nil then
    rest.balance = nil
  end
  if action.handler ~= nil or mark.kind(action.target) then
    rest.port = nil
  end
  return rest
end

---The route as it is when the defaults are put under it: tables merge key by key, everything else takes their place.
---@param base table|nil
---@param route table what the user wrote; left as it is
---@return table
function defaults.merge(base, route)
  if not base then
    return route
  end
  local action = base.action
  if is_plain_table(action) and is_plain_table(route.action) then
    action = give_way(action, route.action)
  end
  local under = {}
  for key, value in pairs(base) do
    under[key] = value
  end
  under.action = action
  return merge_values(under, route, schema.route)
end

---Whether what stands at `path` of a merged route is the defaults' and not the route's own.
---@param base table|nil
---@param route table
---@param path (string|number)[]
---@param from integer the index in `path` at which the route's keys begin
function defaults.gave(base, route, path, from)
  local theirs, own = base, route
  for i = from, #path do
    theirs = is_plain_table(theirs) and theirs[path[i]] or nil
    own = is_plain_table(own) and own[path[i]] or nil
  end
  return theirs ~= nil and own == nil
end

return defaults
