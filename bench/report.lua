-- SPDX-License-Identifier: MIT
--
-- Medians, ratios, and the tables that people read. A ratio is the median of the ratios within each round, so that a
-- machine that gets slower from round to round does not tilt it.

local report = {}

local function median(values)
  local sorted = { unpack(values) }
  table.sort(sorted)
  local middle = math.floor(#sorted / 2)
  if #sorted == 0 then
    return nil
  end
  return #sorted % 2 == 1 and sorted[middle + 1] or (sorted[middle] + sorted[middle + 1]) / 2
end

-- The median of one figure over the rounds of one proxy; nil without any.
function report.median(rounds, field)
  local values = {}
  for _, results in pairs(rounds or {}) do
    values[#values + 1] = results[field]
  end
  return median(values)
end

-- The median over the rounds that both have of left / right; nil without any.
function report.ratio(results, left, right)
  local values = {}
  for round, result in pairs(results[left] or {}) do
    local other = (results[right] or {})[round]
    if other then
      values[#values + 1] = result.cost / other.cost
    end
  end
  return median(values)
end

-- The cheapest of `names`; nil when none was measured.
function report.best(results, names)
  local best, least
  for _, name in ipairs(names) do
    local cost = report.median(results[name], "cost")
    if cost and (not least or cost < least) then
      best, least = name, cost
    end
  end
  return best
end

local function grouped(number)
  local digits = ("%.0f"):format(number)
  local count
  repeat
    digits, count = digits:gsub("^(-?%d+)(%d%d%d)", "%1,%2")
  until count == 0
  return digits
end

local function shown(value, format)
  if not value then
    return "–"
  end
  return format == "grouped" and grouped(value) or format:format(value)
end

-- string.format counts bytes; this counts characters.
local function padded(text, width, left)
  local characters = select(2, text:gsub("[^\128-\191]", ""))
  local space = (" "):rep(math.max(0, width - characters))
  return left and text .. space or space .. text
end

local function row(cells, widths)
  local parts = {}
  for i, cell in ipairs(cells) do
    parts[i] = padded(cell, widths[i], i == 1)
  end
  print("  " .. table.concat(parts, "  "))
end

local function spread(rounds, field, format)
  local least, most
  for _, results in pairs(rounds) do
    local value = results[field]
    least, most = math.min(least or value, value), math.max(most or value, value)
  end
  return shown(least, format) .. "–" .. shown(most, format)
end

local function count(rounds)
  local n = 0
  for _ in pairs(rounds) do
    n = n + 1
  end
  return n
end

-- The columns of a scenario's table: title, and the cell of one proxy.
local function columns_of(scenario, results)
  local columns = {
    { scenario.cost_title, 16, function(_, rounds)
      return shown(report.median(rounds, "cost"), scenario.cost_format)
    end },
    { "least–most", 17, function(_, rounds)
      return spread(rounds, "cost", scenario.cost_format)
    end },
    { "rounds", 6, function(_, rounds)
      return tostring(count(rounds))
    end },
  }
  if scenario.floor then
    columns[#columns + 1] = { "× floor", 7, function(name)
      return shown(report.ratio(results, name, scenario.floor), "%.2f")
    end }
  end
  for _, column in ipairs(scenario.beside or {}) do
    columns[#columns + 1] = { column.title, 13, function(_, rounds)
      return shown(report.median(rounds, column.field), column.format)
    end }
  end
  return columns
end

-- One scenario: a line for each proxy.
function report.scenario(scenario, results)
  local columns = columns_of(scenario, results)
  local titles, widths = { "" }, { 20 }
  for _, column in ipairs(columns) do
    titles[#titles + 1] = column[1]
    widths[#widths + 1] = column[2]
  end
  print("\n" .. scenario.title)
  row(titles, widths)
  for _, name in ipairs(scenario.proxies) do
    local rounds = results[name]
    local cells = { name }
    if rounds and next(rounds) then
      for _, column in ipairs(columns) do
        cells[#cells + 1] = column[3](name, rounds)
      end
    else
      cells[2] = "not measured"
    end
    row(cells, widths)
  end
end

local function verdict(value, limit, digits)
  if not limit then
    return ""
  end
  local unit = 10 ^ digits
  local reached = math.floor(value * unit + 0.5) / unit <= limit
  local bound = digits == 0 and grouped(limit) or ("%%.%df"):format(digits):format(limit)
  return ("≤ %s %s"):format(bound, reached and "yes" or "NO")
end

-- What a target compares moongate with: the value, and what it is called.
local function compared(scenario, results, target)
  if target.against == "nothing" then
    return report.median(results.moongate, target.field or "cost"), target.title or scenario.cost_title
  end
  local other = target.against == "peers" and report.best(results, scenario.peers) or target.against
  local own = target.of or "moongate"
  return other and report.ratio(results, own, other), own .. " / " .. (other or "the better peer")
end

-- The targets of all scenarios, and whether they are reached.
function report.targets(measured)
  local widths = { 18, 36, 8, 14, 14 }
  print "\nTargets                (bound: what must hold now; goal: what is aimed at)"
  row({ "", "", "", "bound", "goal" }, widths)
  for _, entry in ipairs(measured) do
    for _, target in ipairs(entry.scenario.targets) do
      local value, title = compared(entry.scenario, entry.results, target)
      local digits = target.digits or (target.against == "nothing" and 0 or 2)
      local format = digits == 0 and "grouped" or ("%%.%df"):format(digits)
      row({ entry.scenario.name, title, shown(value, format), value and verdict(value, target.bound, digits) or "",
            value and verdict(value, target.goal, digits) or "not measured" }, widths)
    end
  end
end

return report
