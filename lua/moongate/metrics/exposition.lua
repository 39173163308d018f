-- SPDX-License-Identifier: MIT
--
-- The text format of Prometheus, version 0.0.4, and OpenMetrics 1.0 for who asks for it: names, HELP and TYPE, labels
-- in their declared order, escaping. What there is to expose belongs to moongate.metrics.definitions.

local definitions = require "moongate.metrics.definitions"
local unicode = require "moongate.unicode"

local exposition = {
  content_type = "text/plain; version=0.0.4; charset=utf-8",
  open_content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
}

local ESCAPES = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

--- A label's value as it stands between double quotes.
function exposition.escape_label(value)
  return (unicode.clean(tostring(value)):gsub('[\\"\n]', ESCAPES))
end

--- The text of HELP: double quotes stand as they are, but in OpenMetrics (`open`).
function exposition.escape_help(text, open)
  return (unicode.clean(text):gsub(open and '[\\\n"]' or "[\\\n]", ESCAPES))
end

--- A counter to its last digit.
function exposition.format_value(value)
  if type(value) == "table" then
    return tostring(value) -- beyond what a number holds: native says its digits
  elseif value ~= value then
    return "NaN"
  elseif value == math.huge or value == -math.huge then
    return value > 0 and "+Inf" or "-Inf"
  elseif value % 1 == 0 and math.abs(value) < 2 ^ 63 then
    return ("%.0f"):format(value)
  end
  return ("%.15g"):format(value)
end

-- Most values stand as they are, and there may be a hundred thousand of them.
local function labelled(name, value)
  if type(value) ~= "string" or value:find '[^%w %-_.:/*]' then
    value = exposition.escape_label(value)
  end
  return name .. '="' .. value .. '"'
end

local function sample(definition, suffix, value, ...)
  if value == nil then
    error(("%s: there is no value for it"):format(definition.name), 0)
  end
  local names = definition.labels
  local count = select("#", ...)
  if count ~= #names then
    error(("%s: %d label values for %d labels"):format(definition.name, count, #names), 0)
  end
  if count == 0 then
    return definition.name .. suffix .. " " .. exposition.format_value(value)
  end
  local labels = labelled(names[1], (...))
  for index = 2, count do
    labels = labels .. "," .. labelled(names[index], (select(index, ...)))
  end
  return definition.name .. suffix .. "{" .. labels .. "} " .. exposition.format_value(value)
end

-- So many lines take some milliseconds.
local LINES_AT_ONCE = 1000

-- The page in the making: `add` takes a line, `text` ends it. `pause` is called between stretches, when it is there.
local function page_new(pause)
  local pieces, lines = {}, {}
  local page = {}
  function page.add(line)
    lines[#lines + 1] = line
    if #lines >= LINES_AT_ONCE then
      pieces[#pieces + 1] = table.concat(lines, "\n") .. "\n"
      lines = {}
      if pause then
        pause()
      end
    end
  end
  function page.text()
    pieces[#pieces + 1] = #lines > 0 and table.concat(lines, "\n") .. "\n" or nil
    return table.concat(pieces)
  end
  return page
end

-- What a metric is announced as. OpenMetrics calls a counter's family without the _total that its sample has; where
-- another family has that name, and where a counter's name does not end so, it is of no known type there.
local function announce(page, metric, open, taken)
  local family, kind = metric.name, metric.type
  if open and kind == "counter" then
    local stem = family:match "^(.+)_total$"
    if stem and not taken[stem] then
      family = stem
    else
      kind = "unknown"
    end
  end
  page.add(("# HELP %s %s"):format(family, exposition.escape_help(metric.help, open)))
  page.add(("# TYPE %s %s"):format(family, kind))
end

-- Adds the lines of a definition's samples. A summary's has a sum and a count.
local function adder(definition, page)
  if definition.type == "summary" then
    return function(sum, count, ...)
      page.add(sample(definition, "_sum", sum, ...))
      page.add(sample(definition, "_count", count, ...))
    end
  end
  return function(...)
    page.add(sample(definition, "", ...))
  end
end

-- One series of a script's metric: `values` by the order of its labels, then what is more.
local function script_sample(page, name, labels, values, number, more, more_value)
  local pairs_of = {}
  for index, label in ipairs(labels) do
    pairs_of[index] = ('%s="%s"'):format(label, exposition.escape_label(values[index]))
  end
  if more then
    pairs_of[#pairs_of + 1] = ('%s="%s"'):format(more, more_value)
  end
  local text = #pairs_of > 0 and "{" .. table.concat(pairs_of, ",") .. "}" or ""
  page.add(name .. text .. " " .. exposition.format_value(number))
end

-- OpenMetrics writes the bounds of buckets as floats.
local function bound_text(bound, open)
  local text = exposition.format_value(bound)
  return open and not text:find "[.einN]" and text .. ".0" or text
end

local function histogram(page, metric, series, open)
  local sum = 0
  for index, bound in ipairs(metric.buckets) do
    sum = sum + series.counts[index]
    local le = bound_text(bound, open)
    script_sample(page, metric.name .. "_bucket", metric.labels, series.values, sum, "le", le)
  end
  script_sample(page, metric.name .. "_bucket", metric.labels, series.values, series.count, "le", "+Inf")
  script_sample(page, metric.name .. "_sum", metric.labels, series.values, series.number)
  script_sample(page, metric.name .. "_count", metric.labels, series.values, series.count)
end

-- What scripts have made themselves (moongate.metrics).
local function script_metrics(page, metrics, open, taken)
  for _, metric in ipairs(metrics) do
    announce(page, metric, open, taken)
    for _, series in ipairs(metric.series) do
      if metric.type == "histogram" then
        histogram(page, metric, series, open)
      else
        script_sample(page, metric.name, metric.labels, series.values, series.number)
      end
    end
  end
end

--- The page for `source`, { snapshot =, status =, scripts = } of moongate.native; `scripts` is of "metrics",
--- says. `pause`: called again and again while a long page is made, to let others have their turn. `metrics`: other
--- definitions, for specs. `open`: in OpenMetrics.
function exposition.render(source, pause, metrics, open)
  local page, taken = page_new(pause), {}
  local scripts = not metrics and source.scripts and source.scripts.metrics or {}
  for _, list in ipairs { metrics or definitions, scripts } do
    for _, metric in ipairs(list) do
      taken[metric.name] = true
    end
  end
  for _, definition in ipairs(metrics or definitions) do
    announce(page, definition, open, taken)
    definition.collect(source, adder(definition, page))
  end
  script_metrics(page, scripts, open, taken)
  if open then
    page.add "# EOF"
  end
  return page.text()
end

return exposition
