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
  require("moongate.schema.clients").types,
  require("moongate.schema.settings"),
  require("moongate.schema.access"),
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
---@field lost boolean|nil the file could not be run: nobody knows what it says

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
  normal.admin.hosts = table.concat(normal.admin.hosts, ",")
  local inherited = { timeouts = normal.timeouts, keep_alive = normal.keep_alive }
  inherited.proxy_send = normal.proxy_protocol.send.version
  normal.inherited = defaults.write(inherited)
end

-- What is left of the value without what is at fault: two keys deep, since a list without an item is another list.
local function without_faults(value, faults)
  local rest = {}
  for key, item in pairs(value) do
    rest[key] = item
    if type(item) == "table" and not mark.kind(item) then
      rest[key] = {}
      for inner, part in pairs(item) do
        rest[key][inner] = part
      end
    end
  end
  for _, fault in ipairs(faults) do
    local key, inner = fault.path[1], fault.path[2]
    if inner ~= nil and type(rest[key]) == "table" then
      rest[key][inner] = nil
    elseif key ~= nil then
      rest[key] = nil
    end
  end
  return rest
end

local function is_about(faults, meant, key)
  for _, fault in ipairs(faults) do
    if fault.path[1] == key then
      return true
    end
  end
  return meant[key]
end

-- A config to check the route files by, when the user's has faults, or (nil) is not known: its defaults stand in the
-- place of what is wrong, and nothing that was wrong makes a fault of a route.
local function stand_in(value, check, environment)
  local is_table = type(value) == "table" and not mark.kind(value)
  local rest = is_table and without_faults(value, check.faults) or {}
  local again = Check.new(all_types, schema.config)
  local normal = again:value(schema.config, rest)
  if #again.faults > 0 then
    is_table, normal = false, Check.new(all_types, schema.config):value(schema.config, {})
  end
  if not is_table or is_about(check.faults, check.meant, "defaults") then
    normal.defaults = defaults.UNKNOWN
  end
  if not is_table or is_about(check.faults, check.meant, "admin") then
    normal.admin.listen = false
  end
  resolve(normal, environment)
  return normal
end

-- A header that must be there is asked of trusted peers alone.
local function warn_of_nobody(check, normal)
  local proxy = normal and normal.proxy_protocol
  if proxy and proxy.accept == "must" and #(proxy.trusted or {}) == 0 then
    check.path = { "proxy_protocol", "accept" }
    check:warn("has no effect: nobody is trusted, so nobody's header is read; set proxy_protocol.trusted")
    check.path = {}
  end
end

---@param value any what the file returned; nil: there is no file, or it could not be run
---@param environment moongate.schema.Environment
---@return table normal { config = nil with a fault, stand_in = with one, faults =, warnings = }
function config.check(value, environment)
  local check = Check.new(all_types, schema.config)
  local normal = nil
  local written = value
  if value ~= nil and (type(value) ~= "table" or mark.kind(value)) then
    check:expected("the file to return a table", value, "it ends with: return { … }")
  else
    value = value and check:straighten(value, schema.config)
    normal = check:value(schema.config, value)
    warn_of_nobody(check, normal)
  end
  if #check.faults == 0 then
    resolve(normal, environment)
    normal.has_nftables = type(value) == "table" and value.nftables ~= nil
  end
  local result = { faults = check.faults, warnings = check.warnings }
  if #check.faults == 0 and not environment.lost then
    result.config = normal
  else
    result.stand_in = stand_in(written, check, environment)
  end
  local place = Place.new(environment.path, environment.source)
  place:add_lines(check.faults)
  place:add_lines(check.warnings)
  return result
end

---The schema's types by name, for the route files too.
config.types = all_types

return config
