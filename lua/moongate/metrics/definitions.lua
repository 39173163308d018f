-- SPDX-License-Identifier: MIT
--
-- Every metric that moongate exposes, declared once: its name, type, help, the order of its labels, and where its
-- values come from. How they are written belongs to the formats beside this file; docs/metrics.md says more of each.

local function each_route(field)
  return function(source, add)
    for _, route in ipairs(source.snapshot.routes) do
      add(route[field], route.name)
    end
  end
end

-- What was counted for names that are gone.
local function of_removed(field)
  return function(source, add)
    add((source.snapshot.removed or {})[field] or 0)
  end
end

-- As the label's value says: "in" is from the client.
local DIRECTIONS = { { "in", "bytes_in" }, { "out", "bytes_out" } }

-- What the running instance says of its reloads; nothing without one.
local function of_reload(field, scale)
  return function(source, add)
    local value = (source.status.reload or {})[field]
    if value then
      add(value * (scale or 1))
    end
  end
end

-- What it says of names; nothing without one.
local function of_dns(field)
  return function(source, add)
    local value = (source.status.dns or {})[field]
    if value then
      add(value)
    end
  end
end

local function each_key(values, add, ...)
  local keys = {}
  for key in pairs(values or {}) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local labels = { ... }
    labels[#labels + 1] = key
    add(values[key], unpack(labels))
  end
end

-- As all client libraries of Prometheus name them. `read(status)`: nil: not known.
local function of_process(name, kind, help, read)
  return {
    name = "process_" .. name,
    type = kind,
    help = help,
    labels = {},
    collect = function(source, add)
      local value = read(source.status)
      if value then
        add(value)
      end
    end,
  }
end

-- Of the dictionaries of moongate.shared.
local function of_dictionaries(field)
  return function(source, add)
    for _, dictionary in ipairs(source.scripts and source.scripts.dictionaries or {}) do
      add(dictionary[field], dictionary.name)
    end
  end
end

-- `collect(source, add)` calls add(value, label values…) for each sample, of a summary add(sum, count, label values…);
-- source is { snapshot =, status =, scripts = } of moongate.native, where `scripts` is what native.ask "metrics" says.
return {
  {
    name = "moongate_active_connections",
    type = "gauge",
    help = "Connections that are open now.",
    labels = {},
    collect = function(source, add)
      add(source.snapshot.active)
    end,
  },
  {
    name = "moongate_connections_total",
    type = "counter",
    help = "Connections ever accepted.",
    labels = {},
    collect = function(source, add)
      add(source.snapshot.connections)
    end,
  },
  {
    name = "moongate_bytes_total",
    type = "counter",
    help = "Bytes on the client's wire: in is from the client, out is to the client. The sum over all routes, and "
      .. "of what was removed.",
    labels = { "direction" },
    collect = function(source, add)
      for _, direction in ipairs(DIRECTIONS) do
        add(source.snapshot[direction[2]], direction[1])
      end
    end,
  },
  {
    name = "moongate_route_bytes_total",
    type = "counter",
    help = 'Bytes on the client\'s wire by route; "(none)" has those of connections that were never routed.',
    labels = { "route", "direction" },
    collect = function(source, add)
      for _, route in ipairs(source.snapshot.routes) do
        for _, direction in ipairs(DIRECTIONS) do
          add(route[direction[2]], route.name, direction[1])
        end
      end
    end,
  },
  {
    name = "moongate_removed_bytes_total",
    type = "counter",
    help = "Bytes on the client's wire of routes whose names have gone.",
    labels = { "direction" },
    collect = function(source, add)
      for _, direction in ipairs(DIRECTIONS) do
        add((source.snapshot.removed or {})[direction[2]] or 0, direction[1])
      end
    end,
  },
  {
    name = "moongate_route_active_connections",
    type = "gauge",
    help = "Connections of a route that are open now.",
    labels = { "route" },
    collect = each_route "active",
  },
  {
    name = "moongate_route_connections_total",
    type = "counter",
    help = "Connections ever routed to a route.",
    labels = { "route" },
    collect = each_route "connections",
  },
  {
    name = "moongate_removed_active_connections",
    type = "gauge",
    help = "Connections of routes whose names have gone that are open now.",
    labels = {},
    collect = of_removed "active",
  },
  {
    name = "moongate_removed_connections_total",
    type = "counter",
    help = "Connections ever routed to routes whose names have gone.",
    labels = {},
    collect = of_removed "connections",
  },
  {
    name = "moongate_connection_terminations_total",
    type = "counter",
    help = "Ended connections, by side (client or target) and by the reason why that side ended.",
    labels = { "side", "reason" },
    collect = function(source, add)
      for _, side in ipairs { "client", "target" } do
        each_key((source.snapshot.terminations or {})[side], add, side)
      end
    end,
  },
  {
    name = "moongate_connections_by_state",
    type = "gauge",
    help = "Open connections by the state that they are in.",
    labels = { "state" },
    collect = function(source, add)
      each_key(source.snapshot.states, add)
    end,
  },
  {
    name = "moongate_connection_state_seconds",
    type = "summary",
    help = "How long connections have been in a state: the seconds in all, and how many have left it.",
    labels = { "state" },
    collect = function(source, add)
      local times, states = source.snapshot.state_times or {}, {}
      for state in pairs(times) do
        states[#states + 1] = state
      end
      table.sort(states)
      for _, state in ipairs(states) do
        add(times[state].seconds, times[state].count, state)
      end
    end,
  },
  {
    name = "moongate_errors_total",
    type = "counter",
    help = "Errors by type.",
    labels = { "type" },
    collect = function(source, add)
      each_key(source.snapshot.errors, add)
    end,
  },
  {
    name = "moongate_overhead_bytes_total",
    type = "counter",
    help = "Bytes beside the clients' own, by kind: received with a client (in), and sent to a target (out).",
    labels = { "kind", "direction" },
    collect = function(source, add)
      each_key(source.snapshot.overhead, function(bytes, kind)
        add(bytes["in"], kind, "in")
        add(bytes.out, kind, "out")
      end)
    end,
  },
  {
    name = "moongate_handler_errors_total",
    type = "counter",
    help = "Errors raised by functions of a route, those stopped by the watchdog included.",
    labels = { "route" },
    collect = each_route "handler_errors",
  },
  {
    name = "moongate_config_generation",
    type = "gauge",
    help = "The number of the live configuration; it grows with each change.",
    labels = {},
    collect = function(source, add)
      add(source.status.generation)
    end,
  },
  {
    name = "moongate_route_file_ok",
    type = "gauge",
    help = "1: what stands in the route file is live. 0: it has a fault, and its last good version, if any, is live.",
    labels = { "file" },
    collect = function(source, add)
      for _, file in ipairs(source.status.files or {}) do
        add(file.ok and 1 or 0, file.file)
      end
    end,
  },
  {
    name = "moongate_swaps_total",
    type = "counter",
    help = "Times that a new configuration has gone live since the start.",
    labels = {},
    collect = of_reload "swaps",
  },
  {
    name = "moongate_swap_seconds_total",
    type = "counter",
    help = "Seconds that swaps have taken, each from the change being noticed to its being live on all workers.",
    labels = {},
    collect = of_reload("total_ms", 0.001),
  },
  {
    name = "moongate_last_swap_seconds",
    type = "gauge",
    help = "Seconds that the last swap has taken; 0 before the first.",
    labels = {},
    collect = of_reload("last_ms", 0.001),
  },
  {
    name = "moongate_route_file_faults",
    type = "gauge",
    help = "Faults in the route files as they stand now, and of engines.",
    labels = {},
    collect = of_reload "faults",
  },
  {
    name = "moongate_route_files_waiting",
    type = "gauge",
    help = "Route files that wait for a port or an address, and go live by themselves when they can.",
    labels = {},
    collect = function(source, add)
      local waiting = 0
      for _, file in ipairs(source.status.files or {}) do
        waiting = waiting + (file.waits and 1 or 0)
      end
      add(waiting)
    end,
  },
  {
    name = "moongate_part_faults",
    type = "gauge",
    help = "Parts that do not work, and traffic does without: the admin listener, the control socket, the state "
      .. "directory.",
    labels = {},
    collect = function(source, add)
      add(#(source.status.faults or {}))
    end,
  },
  {
    name = "moongate_config_faults",
    type = "gauge",
    help = "Faults in the config as it was read last; with one it is as it was before.",
    labels = {},
    collect = function(source, add)
      add(#(source.status.config_faults or {}))
    end,
  },
  {
    name = "moongate_restart_needed_settings",
    type = "gauge",
    help = "Settings of the config that are not live before the next start.",
    labels = {},
    collect = function(source, add)
      add(#(source.status.restart_needed or {}))
    end,
  },
  {
    name = "moongate_old_versions",
    type = "gauge",
    help = "Replaced versions of route files that still run something.",
    labels = {},
    collect = of_reload "old_versions",
  },
  {
    name = "moongate_old_version_connections",
    type = "gauge",
    help = "Open connections that go on by a route that has changed or gone since.",
    labels = {},
    collect = function(source, add)
      if source.snapshot.old_connections then
        add(source.snapshot.old_connections)
      end
    end,
  },
  {
    name = "moongate_dns_queries_total",
    type = "counter",
    help = "Questions to name servers, by what came of them; two for a name, one for each family.",
    labels = { "result" },
    collect = function(source, add)
      each_key((source.status.dns or {}).queries, add)
    end,
  },
  {
    name = "moongate_dns_names",
    type = "gauge",
    help = "Names that are known, or known to fail; at most dns.cache.",
    labels = {},
    collect = of_dns "names",
  },
  {
    name = "moongate_dns_stale_names",
    type = "gauge",
    help = "Names whose last known addresses serve, because name servers fail.",
    labels = {},
    collect = of_dns "stale",
  },
  {
    name = "moongate_failed_targets",
    type = "gauge",
    help = "Addresses and names of targets that have failed lately; at most limits.failed_targets.",
    labels = {},
    collect = function(source, add)
      local count = (source.status.failed_targets or {}).count
      if count then
        add(count)
      end
    end,
  },
  {
    name = "moongate_shared_entries",
    type = "gauge",
    help = "Entries of a dictionary of moongate.shared; some may have expired.",
    labels = { "dictionary" },
    collect = of_dictionaries "entries",
  },
  {
    name = "moongate_shared_bytes",
    type = "gauge",
    help = "What a dictionary of moongate.shared holds, in bytes.",
    labels = { "dictionary" },
    collect = of_dictionaries "bytes",
  },
  {
    name = "moongate_shared_evictions_total",
    type = "counter",
    help = "Entries that a dictionary of moongate.shared has given up before their time, to make room.",
    labels = { "dictionary" },
    collect = of_dictionaries "evictions",
  },
  {
    name = "moongate_script_series_dropped_total",
    type = "counter",
    help = "Changes of the metrics of scripts that were lost because there were limits.metric_series series already.",
    labels = {},
    collect = function(source, add)
      add(source.scripts and source.scripts.dropped or 0)
    end,
  },
  {
    name = "moongate_output_lost_total",
    type = "counter",
    help = "Lines of the log, and texts that scripts printed, that were lost because nobody took them in time.",
    labels = { "stream" },
    collect = function(source, add)
      each_key(source.scripts and source.scripts.lost, add)
    end,
  },
  {
    name = "moongate_lost_loaders",
    type = "gauge",
    help = "Threads that hang in a file which does not come back from loading; with five nothing can be loaded.",
    labels = {},
    collect = of_reload "lost_loaders",
  },
  {
    name = "moongate_stuck_workers",
    type = "gauge",
    help = "Workers that are stuck in a call that does not return; what they carry stands still.",
    labels = {},
    collect = function(source, add)
      add(#(source.status.stuck or {}))
    end,
  },
  of_process("cpu_seconds_total", "counter", "CPU seconds that the process has used, of user and system.",
    function(status)
      return status.cpu_seconds
    end),
  of_process("open_fds", "gauge", "Descriptors that are open.", function(status)
    return (status.descriptors or {}).used
  end),
  of_process("max_fds", "gauge", "Descriptors that may be open.", function(status)
    return (status.descriptors or {}).limit
  end),
  of_process("virtual_memory_bytes", "gauge", "Size of the virtual memory, in bytes.", function(status)
    return status.virtual
  end),
  of_process("resident_memory_bytes", "gauge", "Size of the resident memory, in bytes.", function(status)
    return status.rss
  end),
  of_process("start_time_seconds", "gauge", "When the process started, in seconds since the epoch.", function(status)
    return status.started
  end),
  {
    name = "moongate_build_info",
    type = "gauge",
    help = "Always 1; the label has the version.",
    labels = { "version" },
    collect = function(source, add)
      add(1, source.status.version)
    end,
  },
}
