-- SPDX-License-Identifier: MIT
--
-- moongate.metrics: metrics of a script's own, and what the runtime counts, read from a snapshot of all workers. What
-- needs samples over time is not in this version, and says so.

local _, core = ...
local error, ipairs = error, ipairs
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
  by_ip = later("connections.by_ip"),
  top = later("connections.top"),
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
