-- SPDX-License-Identifier: MIT
--
-- The text format of Prometheus, version 0.0.4: names, HELP and TYPE, labels in their declared order, escaping. What
-- there is to expose belongs to moongate.metrics.definitions.

local definitions = require "moongate.metrics.definitions"
local unicode = require "moongate.unicode"

local exposition = { content_type = "text/plain; version=0.0.4; charset=utf-8" }

local ESCAPES = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

--- A label's value as it stands between double quotes.
function exposition.escape_label(value)
  return (unicode.clean(tostring(value)):gsub('[\\"\n]', ESCAPES))
end

--- The text of HELP: double quotes stand as they are.
function exposition.escape_help(text)
  return (unicode.clean(text):gsub("[\\\n]", ESCAPES))
end

--- A counter to its last digit, as long as a double holds it.
function exposition.format_value(value)
  if value ~= value then
    return "NaN"
  elseif value == math.huge or value == -math.huge then
    return value > 0 and "+Inf" or "-Inf"
  elseif value % 1 == 0 and math.abs(value) < 2 ^ 63 then
    return ("%.0f"):format(value)
  end
  return ("%.15g"):format(value)
end

local function sample(definition, value, ...)
  if value == nil then
    error(("%s: there is no value for it"):format(definition.name), 0)
  end
  local names = definition.labels
  if select("#", ...) ~= #names then
    error(("%s: %d label values for %d labels"):format(definition.name, select("#", ...), #names), 0)
  end
  local pairs_of = {}
  for index, name in ipairs(names) do
    pairs_of[index] = ('%s="%s"'):format(name, exposition.escape_label((select(index, ...))))
  end
  local labels = #names > 0 and "{" .. table.concat(pairs_of, ",") .. "}" or ""
  return definition.name .. labels .. " " .. exposition.format_value(value)
end

--- The page for `source`, { snapshot =, status = } of moongate.native. `metrics`: other definitions, for specs.
function exposition.render(source, metrics)
  local lines = {}
  for _, definition in ipairs(metrics or definitions) do
    lines[#lines + 1] = ("# HELP %s %s"):format(definition.name, exposition.escape_help(definition.help))
    lines[#lines + 1] = ("# TYPE %s %s"):format(definition.name, definition.type)
    definition.collect(source, function(...)
      lines[#lines + 1] = sample(definition, ...)
    end)
  end
  return table.concat(lines, "\n") .. "\n"
end

return exposition
