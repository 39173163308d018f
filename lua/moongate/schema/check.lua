-- SPDX-License-Identifier: MIT
--
-- Checks a value against a descriptor of the schema and makes its normal form: every default filled, every quantity
-- in one unit. It collects all faults instead of stopping at the first. What the types accept is in schema/types.lua
-- and schema/targets.lua.

local hints = require("moongate.schema.hints")
local mark = require("moongate.schema.mark")
local text = require("moongate.text")

local MAX_FAULTS = 100

---@class moongate.Fault
---@field route string
---@field field string
---@field message string
---@field path (string|number)[] from what the file returned; for its line

---@class moongate.Check
---@field faults moongate.Fault[]
---@field warnings moongate.Fault[]
---@field functions table[] { route, field }: where functions stand; the index is the slot
---@field route string the route that is being checked; "" for the config
---@field index integer? its place in the list that the file returned
---@field path (string|integer)[] where in it
---@field made integer? the line of the helper's call that made the route
---@field types table<string, function>
---@field root table the schema's config or route
---@field normal_defaults table<table, any> normal forms of defaults, by descriptor: the same with every route
---@field meant table<string, boolean> fields that stand elsewhere or under another name: told once, not missed again
---@field written table<string, (string|integer)[]> of those that were put where they belong: where the user has them
---@field open boolean? what is missing may stand where nobody knows it: no fault
---@field incomplete boolean? something was missing
local Check = {}
Check.__index = Check

---@param types table<string, function>
---@param root table
function Check.new(types, root)
  return setmetatable({
    faults = {},
    warnings = {},
    functions = {},
    route = "",
    path = {},
    types = types,
    root = root,
    meant = {},
    written = {},
    normal_defaults = {},
  }, Check)
end

---@param path (string|integer)[]
local function field_name(path)
  local parts = {}
  for _, key in ipairs(path) do
    if type(key) == "number" then
      parts[#parts + 1] = ("[%d]"):format(key)
    else
      parts[#parts + 1] = (#parts > 0 and "." or "") .. (#key > 60 and key:sub(1, 57) .. "..." or key)
    end
  end
  return table.concat(parts)
end

-- The present path as the user has it.
local function written_path(self)
  for i = next(self.written) and #self.path or 0, 1, -1 do
    local written = self.written[field_name({ unpack(self.path, 1, i) })]
    if written then
      local path = { unpack(written) }
      for k = i + 1, #self.path do
        path[#path + 1] = self.path[k]
      end
      return path
    end
  end
  return self.path
end

local function add(self, list, format, ...)
  if #list < MAX_FAULTS then
    local message = select("#", ...) > 0 and format:format(...) or format
    local written = written_path(self)
    local field, path = field_name(written), { self.index }
    for _, key in ipairs(written) do
      path[#path + 1] = key
    end
    list[#list + 1] = { route = self.route, field = field, message = message, path = path, made = self.made }
  elseif #list == MAX_FAULTS then
    list[#list + 1] = { route = "", field = "", message = "there is more that is wrong; mend this first", path = {} }
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

---A fault of what is not there.
function Check:missing(format, ...)
  self.incomplete = true
  if not self.open then
    self:fault(format, ...)
  end
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

-- What stands where nothing is written. Tables are made anew, as somebody may change them, unless they are `shared`.
local function normal_default(self, descriptor, default)
  local normal = self.normal_defaults[descriptor]
  if normal == nil then
    local faults = #self.faults
    normal = self.types[descriptor.type](self, default, descriptor)
    if #self.faults == faults and (type(normal) ~= "table" or descriptor.shared) then
      self.normal_defaults[descriptor] = normal
    end
  end
  return normal
end

local PARSED_MOST = 4096 -- bytes; no address, name, time or list of ports is nearly as long
local NOT_PARSED = { string = true, table = true, partial_route = true }

-- Taking a text to pieces can cost the square of its length, and nobody ends us when it takes long.
local function has_long_text(value, depth)
  if type(value) == "string" then
    return #value > PARSED_MOST
  elseif type(value) ~= "table" or mark.kind(value) or depth == 0 then
    return false
  end
  for _, item in pairs(value) do
    if has_long_text(item, depth - 1) then
      return true
    end
  end
  return false
end

---The normal form of `value`, or nil: it is wrong, or it isn't there and has no default.
function Check:value(descriptor, value)
  local check = self.types[descriptor.type]
  local default = descriptor.default
  if value == nil and descriptor.type ~= "table" then
    if descriptor.required and not self.meant[field_name(self.path)] then
      self:missing("is missing: %s", descriptor.required)
    end
    if default == nil then
      return nil
    end
    return normal_default(self, descriptor, default)
  elseif value == nil and descriptor.shared then
    return normal_default(self, descriptor)
  end
  if not NOT_PARSED[descriptor.type] and has_long_text(value, 3) then
    self:fault("has a text of more than %d bytes: nothing that is meant here is as long", PARSED_MOST)
    return nil
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

-- The names of a table's fields, sorted, by the table: they are asked for with every route.
local names_of = setmetatable({}, {
  __mode = "k",
  __index = function(known, fields)
    known[fields] = hints.names(fields)
    return known[fields]
  end,
})

---Says of a key what it might have been. `fields`: those that are known in the present place.
---@return string|nil meant the path of that field
---@return boolean|nil is_clear the value may be taken for that field's
function Check:unknown(key, fields)
  local known = table.concat(names_of[fields], ", ")
  if type(key) == "number" then
    self.path[#self.path + 1] = key
    self:fault("is a value without a name: write name = value, with one of %s", known)
  elseif type(key) ~= "string" then
    self:fault("has the key %s, which is no field: expected %s", self.show(key), known)
    return
  else
    local message, meant, is_clear = hints.unknown(key, fields, field_name(self.path), self.root)
    if meant then
      self.meant[meant] = true
    end
    self.path[#self.path + 1] = key
    self:fault("%s", message)
    self.path[#self.path] = nil
    return meant, is_clear
  end
  self.path[#self.path] = nil
end

local function strange_keys(value, fields)
  local strange = nil
  for key in pairs(value) do
    if fields[key] == nil then
      strange = strange or {}
      strange[#strange + 1] = key
    end
  end
  if strange then
    table.sort(strange, function(a, b)
      return tostring(a) < tostring(b)
    end)
  end
  return strange
end

local function copy_of(value)
  local copy = {}
  for key, item in pairs(value) do
    copy[key] = item
  end
  return copy
end

-- Takes the keys that are no fields out of `copy` and says so of each. What is clearly meant for another field of the
-- table stands there from now on, so that what is wrong with it is told too, and that it is missing is not.
local function put_right(self, copy, strange, fields)
  local place = field_name(self.path)
  for _, key in ipairs(strange) do
    local value = copy[key]
    local meant, is_clear = self:unknown(key, fields)
    local name = meant and meant:match("[^.]*$")
    copy[key] = nil
    if is_clear and meant == (place ~= "" and place .. "." or "") .. name and fields[name] and copy[name] == nil then
      local written = { unpack(written_path(self)) }
      written[#written + 1] = key
      self.written[meant], copy[name] = written, value
    end
  end
end

-- Fields that are tables of known fields, by the table: they are asked for with every route.
local tables_of = setmetatable({}, {
  __mode = "k",
  __index = function(known, fields)
    local names = {}
    for _, name in ipairs(names_of[fields]) do
      names[#names + 1] = fields[name].fields and name or nil
    end
    known[fields] = names
    return names
  end,
})

---The table, and those within that the descriptor knows, with nothing but known fields: a copy where there were others.
---@param value table
---@param descriptor table
---@return table
function Check:straighten(value, descriptor)
  local fields, straight = descriptor.fields, value
  local strange = strange_keys(value, fields)
  if strange then
    straight = copy_of(value)
    put_right(self, straight, strange, fields)
  end
  for _, name in ipairs(tables_of[fields]) do
    local inner = straight[name]
    if type(inner) == "table" and not mark.kind(inner) then
      self.path[#self.path + 1] = name
      local better = self:straighten(inner, fields[name])
      self.path[#self.path] = nil
      if better ~= inner then
        straight = straight == value and copy_of(value) or straight
        straight[name] = better
      end
    end
  end
  return straight
end

---A table with known fields (see `straighten`); nil stands for an empty one.
function Check:table(value, descriptor)
  if value == nil then
    value = {}
  end
  if type(value) ~= "table" or mark.kind(value) then
    self:expected("a table", value, descriptor.example)
    return nil
  end
  local normal = {}
  for _, name in ipairs(names_of[descriptor.fields]) do
    normal[name] = self:at(name, descriptor.fields[name], value[name])
  end
  return normal
end

return Check
