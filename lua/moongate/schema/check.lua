-- SPDX-License-Identifier: MIT
--
-- Checks a value against a descriptor of the schema and makes its normal form: every default filled, every quantity
-- in one unit. It collects all faults instead of stopping at the first. What the types accept is in schema/types.lua
-- and schema/targets.lua.

local mark = require("moongate.schema.mark")
local text = require("moongate.text")

local MAX_FAULTS = 100

---@class moongate.Check
---@field faults table[] { route, field, message }
---@field warnings table[] likewise
---@field functions table[] { route, field }: where functions stand; the index is the slot
---@field route string the route that is being checked; "" for the config
---@field path (string|integer)[] where in it
---@field types table<string, function>
local Check = {}
Check.__index = Check

---@param types table<string, function>
function Check.new(types)
  return setmetatable({ faults = {}, warnings = {}, functions = {}, route = "", path = {}, types = types }, Check)
end

---@param path (string|integer)[]
local function field_name(path)
  local parts = {}
  for _, key in ipairs(path) do
    if type(key) == "number" then
      parts[#parts + 1] = ("[%d]"):format(key)
    else
      parts[#parts + 1] = (#parts > 0 and "." or "") .. key
    end
  end
  return table.concat(parts)
end

local function add(self, list, format, ...)
  if #list < MAX_FAULTS then
    local message = select("#", ...) > 0 and format:format(...) or format
    list[#list + 1] = { route = self.route, field = field_name(self.path), message = message }
  elseif #list == MAX_FAULTS then
    list[#list + 1] = { route = "", field = "", message = "there is more that is wrong; mend this first" }
  end
end

function Check:fault(format, ...)
  add(self, self.faults, format, ...)
end

function Check:warn(format, ...)
  add(self, self.warnings, format, ...)
end

---For the most common fault. `hint` may be nil.
function Check:expected(what, value, hint)
  self:fault("%s", ("expected %s, got %s%s"):format(what, self.show(value), hint and (" (%s)"):format(hint) or ""))
end

function Check.show(value)
  local kind = mark.kind(value)
  return kind and "a " .. kind or text.show(value)
end

---Checks what stands at `key` of the current place.
function Check:at(key, descriptor, value)
  self.path[#self.path + 1] = key
  local normal = self:value(descriptor, value)
  self.path[#self.path] = nil
  return normal
end

---Notes that a function stands here, and returns its slot.
function Check:slot()
  self.functions[#self.functions + 1] = { route = self.route, field = field_name(self.path) }
  return #self.functions
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

-- Fields that a later version gives an effect: an ineffective one is worth a warning, but what was to keep somebody
-- out must not be left out silently.
local function check_later(self, descriptor, normal, default)
  if not descriptor.later or normal == nil or same(normal, default) then
    return
  end
  if descriptor.later == "refuse" then
    self:fault("not supported in this version: refusing to start without it (remove it)")
  else
    self:warn("has no effect in this version")
  end
end

---The normal form of `value`, or nil: it is wrong, or it isn't there and has no default.
function Check:value(descriptor, value)
  local check = self.types[descriptor.type]
  local default = descriptor.default
  if value == nil and descriptor.type ~= "table" then
    if descriptor.required then
      self:fault("is missing: %s", descriptor.required)
    end
    if default == nil then
      return nil
    end
    return check(self, default, descriptor)
  end
  local normal = check(self, value, descriptor)
  if descriptor.later and normal ~= nil then
    local unset
    if default ~= nil then
      unset = check(self, default, descriptor)
    end
    check_later(self, descriptor, normal, unset)
  end
  return normal
end

local function names_of(fields)
  local names = {}
  for name in pairs(fields) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- The place of a field of that very name elsewhere in the schema: "match.ports" for `ports`.
local function find_elsewhere(name, fields, prefix)
  for _, field in ipairs(names_of(fields)) do
    local descriptor = fields[field]
    if prefix ~= "" and field == name then
      return prefix .. field
    end
    local found = descriptor.fields and find_elsewhere(name, descriptor.fields, prefix .. field .. ".")
    if found then
      return found
    end
  end
end

local function unknown(self, key, descriptor)
  local fields = descriptor.fields
  if type(key) ~= "string" then
    self:fault("has the key %s, which is no field: expected %s", self.show(key), table.concat(names_of(fields), ", "))
    return
  end
  local near = text.nearest(key, names_of(fields)) or find_elsewhere(key, fields, "")
  local hint = near and ('did you mean "%s"?'):format(near) or "known here: " .. table.concat(names_of(fields), ", ")
  self.path[#self.path + 1] = #key > 60 and key:sub(1, 57) .. "..." or key
  self:fault("unknown field (%s)", hint)
  self.path[#self.path] = nil
end

---A table with known fields; nil stands for an empty one.
function Check:table(value, descriptor)
  if value == nil then
    value = {}
  end
  if type(value) ~= "table" or mark.kind(value) then
    self:expected("a table", value)
    return nil
  end
  local strange = {}
  for key in pairs(value) do
    if descriptor.fields[key] == nil then
      strange[#strange + 1] = key
    end
  end
  table.sort(strange, function(a, b)
    return tostring(a) < tostring(b)
  end)
  for _, key in ipairs(strange) do
    unknown(self, key, descriptor)
  end
  local normal = {}
  for _, name in ipairs(names_of(descriptor.fields)) do
    normal[name] = self:at(name, descriptor.fields[name], value[name])
  end
  return normal
end

return Check
