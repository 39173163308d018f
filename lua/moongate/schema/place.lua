-- SPDX-License-Identifier: MIT
--
-- A user's file as a place that faults name: its path, and lines that are looked up when the first one is asked for.

local Lines = require("moongate.schema.lines")

---@class moongate.Place
---@field path string as people name it
---@field source string|nil
---@field lines moongate.Lines|nil
---@field breathe fun()|nil
local Place = {}
Place.__index = Place

---@param path string
---@param source string|nil the file's text; nil: lines are not known
---@param breathe fun()|nil called often while the text is read: the thread gives way to others
function Place.new(path, source, breathe)
  return setmetatable({ path = path, source = source, breathe = breathe }, Place)
end

---@param field (string|number)[] from what the file returned
---@return integer line 0: not known
function Place:line(field)
  if not self.source then
    return 0
  end
  self.lines = self.lines or Lines.new(self.source, self.breathe)
  return self.lines:find(field)
end

---"routes/site.lua:3"
---@param field (string|number)[]
---@param made integer|nil the line, where it is known already
function Place:show(field, made)
  local line = made or self:line(field)
  return line > 0 and ("%s:%d"):format(self.path, line) or self.path
end

---Gives each fault its line (`made`, where it is known already), and puts them in the order of the lines; what is of
---no field comes last.
---@param faults moongate.Fault[]
function Place:add_lines(faults)
  for i, fault in ipairs(faults) do
    fault.line, fault.order = fault.made or self:line(fault.path), i
    fault.rank = (fault.route == "" and fault.field == "" and i > 1) and math.huge or fault.line
  end
  table.sort(faults, function(a, b)
    if a.rank ~= b.rank then
      return a.rank < b.rank
    end
    return a.order < b.order
  end)
  for _, fault in ipairs(faults) do
    fault.path, fault.made, fault.order, fault.rank = nil, nil, nil, nil
  end
end

return Place
