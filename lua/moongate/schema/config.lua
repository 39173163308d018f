-- SPDX-License-Identifier: MIT
--
-- From what moongate.lua returned to the settings that the loader hands to C: the schema, and the places where things
-- are by default.

local Check = require("moongate.schema.check")
local Place = require("moongate.schema.place")
local defaults = require("moongate.schema.defaults")
local mark = require("moongate.schema.mark")
local places = require("moongate.places")
local schema = require("moongate.schema")

local config = {}

local all_types = {}
for _, types in ipairs({
  require("moongate.schema.types"),
  require("moongate.schema.targets").types,
  require("moongate.schema.settings"),
  defaults.types,
}) do
  for name, check in pairs(types) do
    all_types[name] = check
  end
end

---@class moongate.schema.Environment
---@field directory string of the config file
---@field cpus integer that this process may use
---@field root boolean
---@field variables table<string, string> of the environment
---@field path string|nil of the config file
---@field source string|nil the text of the config file, for the lines of faults

-- What the settings that name no place, or one relative to the config, stand for.
local function resolve(normal, environment)
  if normal.workers == "auto" then
    normal.workers = math.max(1, math.min(256, environment.cpus))
  end
  normal.routes = places.join(environment.directory, normal.routes)
  normal.control = normal.control and places.join(environment.directory, normal.control)
    or places.control(environment.root, environment.variables)
  normal.state = normal.state and places.join(environment.directory, normal.state)
    or places.state(environment.root, environment.variables)
  if normal.dns.servers then
    normal.dns.servers = table.concat(normal.dns.servers, ",")
  end
end

---@param value any what the file returned; nil: there is no file
---@param environment moongate.schema.Environment
---@return table normal { config = nil with a fault, faults =, warnings = }
function config.check(value, environment)
  local check = Check.new(all_types, schema.config)
  local normal = nil
  if value ~= nil and (type(value) ~= "table" or mark.kind(value)) then
    check:expected("the file to return a table", value, "it ends with: return { … }")
  else
    normal = check:value(schema.config, value)
  end
  if #check.faults == 0 then
    resolve(normal, environment)
  end
  local place = Place.new(environment.path, environment.source)
  place:add_lines(check.faults)
  place:add_lines(check.warnings)
  return { config = #check.faults == 0 and normal or nil, faults = check.faults, warnings = check.warnings }
end

---The schema's types by name, for the route files too.
config.types = all_types

return config
