-- SPDX-License-Identifier: MIT
--
-- The LuaCATS annotations of the config and of routes: a class for each table of the schema. What the classes are made
-- of besides (durations, ports, targets) is in _meta/values.lua, by hand.

local hints = require "moongate.schema.hints"
local kinds = require "scripts.reference.kinds"

local annotations = {}

local HEAD = [[
---@meta
-- SPDX-License-Identifier: MIT
--
-- Generated from lua/moongate/schema.lua by `./dev docs`: change it there.
-- %s

]]

-- Tables that stand in several places, by the last part of their path.
local SHARED = { timeouts = "moongate.Timeouts" }

local function class_name(parent, name)
  return SHARED[name] or parent .. "." .. name:gsub("^%l", string.upper):gsub("_(%l)", string.upper)
end

-- A table is needed when something in it is; only what is no table of fields says so itself.
local function is_required(descriptor)
  if descriptor.required or descriptor.always then
    return true
  end
  for _, field in pairs(descriptor.type == "table" and descriptor.fields or {}) do
    if is_required(field) then
      return true
    end
  end
  return false
end

local function doc(descriptor)
  local words = descriptor.doc
  if descriptor.default ~= nil and descriptor.default ~= "" and not descriptor.fields then
    words = ("%s (%s)"):format(words, kinds.literal(descriptor.default))
  end
  return descriptor.later == "warn" and words .. "; no effect in this version" or words
end

-- options.partial: nothing is required, nothing is a function, and there is no name. Fields of later versions that are
-- refused are left out: an editor underlines them.
local function write_class(lines, done, name, descriptor, options)
  if done[name] then
    return
  end
  done[name] = true
  local nested = {}
  lines[#lines + 1] = ("---%s"):format(descriptor.doc)
  lines[#lines + 1] = "---@class " .. name
  for _, key in ipairs(hints.names(descriptor.fields)) do
    local field = descriptor.fields[key]
    local class
    if kinds.is_table(field) then
      class = class_name(name, key)
      nested[#nested + 1] = { class, field }
      class = field.type == "tls" and class .. "|false" or class
    elseif field.type ~= "unsupported" and field.later ~= "refuse" and not (options.partial and key == "name") then
      class = kinds.lua(field, options.partial)
    end
    if class then
      local optional = (options.partial or not is_required(field)) and "?" or ""
      lines[#lines + 1] = ("---@field %s%s %s %s"):format(key, optional, class, doc(field))
    end
  end
  lines[#lines + 1] = ""
  for _, pair in ipairs(nested) do
    write_class(lines, done, pair[1], pair[2], options)
  end
end

function annotations.config(schema)
  local lines, done = {}, {}
  write_class(lines, done, "moongate.Config", schema.config, {})
  local route = { doc = "A route of which any part may be missing, merged under every route.", fields = {} }
  for name, field in pairs(schema.route.fields) do
    route.fields[name] = name ~= "name" and field or nil
  end
  write_class(lines, done, "moongate.Config.Defaults", route, { partial = true })
  return HEAD:format("The config, moongate.lua: `---@type moongate.Config` above its `return`.")
    .. table.concat(lines, "\n")
end

function annotations.route(schema)
  local lines = {}
  write_class(lines, { [SHARED.timeouts] = true }, "moongate.Route", schema.route, {})
  local where = "A route: `---@type moongate.Route|moongate.Route[]` above the `return` of a file in routes/."
  return HEAD:format(where) .. table.concat(lines, "\n")
end

return annotations
