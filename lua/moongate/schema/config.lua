-- SPDX-License-Identifier: MIT
--
-- From what moongate.lua returned to the settings that the loader hands to C: the schema, and the places where things
-- are by default.

local Check = require("moongate.schema.check")
local mark = require("moongate.schema.mark")
local places = require("moongate.places")
local schema = require("moongate.schema")

local config = {}

local all_types = {}
for _, types in ipairs({
  require("moongate.schema.types"),
  require("moongate.schema.targets").types,
  require("moongate.schema.settings"),
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

---@param value any what the file returned; nil: there is no file
---@param environment moongate.schema.Environment
---@return table normal { config =, faults =, warnings = }
function config.check(value, environment)
  local check = Check.new(all_types)
  if value ~= nil and (type(value) ~= "table" or mark.kind(value)) then
    check:expected("the file to return a table", value, "it ends with: return { … }")
    return { faults = check.faults, warnings = check.warnings }
  end
  local normal = check:value(schema.config, value)
  if #check.faults > 0 then
    return { faults = check.faults, warnings = check.warnings }
  end
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
  return { config = normal, faults = check.faults, warnings = check.warnings }
end

---The schema's types by name, for the route files too.
config.types = all_types

return config
