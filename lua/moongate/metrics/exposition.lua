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

local function sample(definition, suffix, value, ...)
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
  return definition.name .. suffix .. labels .. " " .. exposition.format_value(value)
end

-- Adds the lines of a definition's samples. A summary's has a sum and a count.
local function adder(definition, lines)
  if definition.type == "summary" then
    return function(sum, count, ...)
      lines[#lines + 1] = sample(definition, "_sum", sum, ...)
      lines[#lines + 1] = sample(definition, "_count", count, ...)
    end
  end
  return function(...)
    lines[#lines + 1] = sample(definition, "", ...)
  end
end

-- One series of a script's metric: `values` by the order of its labels, then what is more.
local function script_sample(lines, name, labels, values, number, more, more_value)
  local pairs_of = {}
  for index, label in ipairs(labels) do
    pairs_of[index] = ('%s="%s"'):format(label, exposition.escape_label(values[index]))
  end
  if more then
    pairs_of[#pairs_of + 1] = ('%s="%s"'):format(more, more_value)
  end
  local text = #pairs_of > 0 and "{" .. table.concat(pairs_of, ",") .. "}" or ""
  lines[#lines + 1] = name .. text .. " " .. exposition.format_value(number)
end

local function histogram(lines, metric, series)
  local sum = 0
  for index, bound in ipairs(metric.buckets) do
    sum = sum + series.counts[index]
    local le = exposition.format_value(bound)
    script_sample(lines, metric.name .. "_bucket", metric.labels, series.values, sum, "le", le)
  end
  script_sample(lines, metric.name .. "_bucket", metric.labels, series.values, series.count, "le", "+Inf")
  script_sample(lines, metric.name .. "_sum", metric.labels, series.values, series.number)
  script_sample(lines, metric.name .. "_count", metric.labels, series.values, series.count)
end

-- What scripts have made themselves (moongate.metrics).
local function script_metrics(lines, metrics)
  for _, metric in ipairs(metrics) do
    lines[#lines + 1] = ("# HELP %s %s"):format(metric.name, exposition.escape_help(metric.help))
    lines[#lines + 1] = ("# TYPE %s %s"):format(metric.name, metric.type)
    for _, series in ipairs(metric.series) do
      if metric.type == "histogram" then
        histogram(lines, metric, series)
      else
        script_sample(lines, metric.name, metric.labels, series.values, series.number)
      end
    end
  end
end

--- The page for `source`, { snapshot =, status =, scripts = } of moongate.native; `scripts` is what native.metrics()
--- says. `metrics`: other definitions, for specs.
function exposition.render(source, metrics)
  local lines = {}
  for _, definition in ipairs(metrics or definitions) do
    lines[#lines + 1] = ("# HELP %s %s"):format(definition.name, exposition.escape_help(definition.help))
    lines[#lines + 1] = ("# TYPE %s %s"):format(definition.name, definition.type)
    definition.collect(source, adder(definition, lines))
  end
  script_metrics(lines, not metrics and source.scripts and source.scripts.metrics or {})
  return table.concat(lines, "\n") .. "\n"
end

return exposition
