-- SPDX-License-Identifier: MIT
--
-- What is kept of a file's routes between loads, for looking at them beside those of other files: one string a file,
-- because ten thousand routes as tables would be gone through by each collection of the loader's state.

local Place = require("moongate.schema.place")
local cjson = require("cjson")

local packed = {}

---@class moongate.schema.Packed
---@field path string of the file
---@field source string|nil
---@field routes string

---@param place moongate.Place
---@param list moongate.schema.Known[]
---@return moongate.schema.Packed
function packed.pack(place, list)
  local plain = {}
  for i, known in ipairs(list) do
    local copy = {}
    for key, value in pairs(known) do
      copy[key] = value
    end
    copy.place = nil
    plain[i] = copy
  end
  return { path = place.path, source = place.source, routes = cjson.encode(plain) }
end

---@param kept moongate.schema.Packed
---@return moongate.schema.Known[]
---@return moongate.Place
function packed.unpack(kept)
  local place, list = Place.new(kept.path, kept.source), cjson.decode(kept.routes)
  for _, known in ipairs(list) do
    known.place = place
  end
  return list, place
end

-- What was unpacked last: who asks for the line of one route often asks for the next one's. The collector takes it.
local last = setmetatable({}, { __mode = "v" })

-- The place of the file, with its routes by name. Whoever looks a line up there holds all of it.
local function place_of(kept)
  local place = last.place
  if not place or place.kept ~= kept then
    local list
    list, place = packed.unpack(kept)
    place.kept, place.names = kept, {}
    for _, known in ipairs(list) do
      place.names[known.name] = place.names[known.name] or known
    end
    last.place = place
  end
  return place
end

---The line of a field of a route: "match.ports"; 0: not known.
---@param kept moongate.schema.Packed
---@param name string
---@param field string
---@return integer
function packed.line(kept, name, field)
  local place = place_of(kept)
  local known = place.names[name]
  if not known then
    return 0
  end
  local path = { unpack(known.at) }
  for key in field:gmatch("[^.]+") do
    path[#path + 1] = key
  end
  return known.made or place:line(path)
end

return packed
