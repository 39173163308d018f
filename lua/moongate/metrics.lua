-- SPDX-License-Identifier: MIT
--
-- moongate.metrics: metrics of a script's own, and what the runtime counts, read from a snapshot of all workers. What
-- needs samples over time is not in this version, and says so.

local _, core = ...
local error, ipairs, math, table, type = error, ipairs, math, table, type
local measure = core.measure

local metrics = {
  counter = core.metrics.counter,
  gauge = core.metrics.gauge,
  histogram = core.metrics.histogram,
}

local function snapshot_total(field)
  return function()
    return measure()[field]
  end
end

local function later(name)
  return function()
    error(("moongate.metrics.%s: not in this version"):format(name), 2)
  end
end

local function all_later(group, names)
  local functions = {}
  for _, name in ipairs(names) do
    functions[name] = later(group .. "." .. name)
  end
  return functions
end

-- Equals stand as they came, in the order of the addresses.
local function busier(a, b)
  if a.active ~= b.active then
    return a.active > b.active
  end
  return a.place < b.place
end

metrics.connections = {
  active = snapshot_total("active"),
  total = snapshot_total("connections"),
  --- Open connections of each route that has some.
  by_route = function()
    local active = {}
    for _, route in ipairs(measure().routes) do
      if route.active > 0 then
        active[route.name] = route.active
      end
    end
    return active
  end,
  --- Open connections of each client address that has some; under "(other)" those of addresses that are not kept.
  by_ip = function()
    local answer, active = measure(true), {}
    for _, row in ipairs(answer.addresses) do
      if row.active > 0 then
        active[row.address] = row.active
      end
    end
    if answer.other.active > 0 then
      active["(other)"] = answer.other.active
    end
    return active
  end,
  --- The addresses with the most open connections.
  top = function(most)
    if most ~= nil and (type(most) ~= "number" or most < 1 or most ~= math.floor(most)) then
      error("moongate.metrics.connections.top: a whole number from 1 expected", 2)
    end
    local rows, top = measure(true).addresses, {}
    for place, row in ipairs(rows) do
      row.place = place
    end
    table.sort(rows, busier)
    for i = 1, math.min(most or 10, #rows) do
      local row = rows[i]
      top[i] = { ip = row.address, connections = row.active, bytes_in = row.bytes_in, bytes_out = row.bytes_out }
    end
    return top
  end,
}

metrics.totals = {
  bytes_in = snapshot_total("bytes_in"),
  bytes_out = snapshot_total("bytes_out"),
  connections = snapshot_total("connections"),
}

metrics.throughput =
  all_later("throughput", { "instant", "recent", "average", "custom", "history", "by_route", "by_ip" })
metrics.requests = all_later("requests", { "per_second", "per_minute", "total" })
metrics.percentiles = all_later("percentiles", { "connection_duration", "bytes_transferred" })

return metrics
