-- SPDX-License-Identifier: MIT
--
-- What to look at: a sentence for each finding of a snapshot, the worst first, for who is woken up by it. It says what
-- is there, how much and since when, what that mostly means, what ends it, and the command that shows more.

local text = require("moongate.text")

local findings = {}

-- From when on something is worth a sentence.
local NAMED, SHARE, LAG, DESCRIPTORS, CAP, GROWTH, GROWN = 3, 0.5, 0.1, 0.8, 0.9, 50, 2

local PROBLEM, NOTE = "problem", "note"

local function duration(seconds)
  return text.format_duration(math.floor(seconds * 10 + 0.5) / 10)
end

local function several(count, one, many)
  return ("%d %s"):format(count, count == 1 and one or many)
end

local function connections(count)
  return several(count, "connection", "connections")
end

local word = text.shell_word

-- "; timeouts.stuck ends them after 60s", or that nothing does.
local function bound(limit, name)
  if limit and limit > 0 then
    return ("; %s is %s"):format(name, duration(limit))
  end
  return ("; %s is off, so nothing ends them"):format(name)
end

-- "; the oldest is ended in 12s, reason idle", or that nothing does.
local function ending(group)
  if not group.ends then
    return "; nothing ends them"
  end
  return ("; %s ended in %s, reason %s"):format(group.count == 1 and "it is" or "the oldest is", duration(group.ends),
    group.reason)
end

-- The largest groups of a pattern, one sentence each.
local function each_group(pattern, key, add)
  for index, group in ipairs(pattern[key] or {}) do
    if index > NAMED then
      break
    end
    add(group)
  end
end

-- ", most of them from 192.0.2.7 (310)" where one client has that share.
local function mostly_from(pattern)
  local first = (pattern.by_client or {})[1]
  if first and pattern.count > 1 and first.count >= SHARE * pattern.count then
    return (", %s of them from %s"):format(first.count == pattern.count and "all" or first.count, first.name)
  end
  return ""
end

local PATTERNS = {}

PATTERNS[#PATTERNS + 1] = { "zombie", function(pattern, add)
  add(PROBLEM, ("%s with both sides over %s still there, the oldest for %s: that is a fault of moongate itself; "
    .. "please report it with this file"):format(connections(pattern.count), pattern.count == 1 and "is" or "are",
    duration(pattern.oldest)), "moongate conns --state closing")
end }

PATTERNS[#PATTERNS + 1] = { "stuck_connecting", function(pattern, add)
  each_group(pattern, "by_target", function(group)
    add(PROBLEM, ("%s for %s to accept: the back end does not answer SYN, or its name is not resolved; the oldest "
      .. "for %s%s"):format(several(group.count, "connection waits", "connections wait"), group.name,
      duration(group.oldest), bound(group.limit, "timeouts.connect")),
      "moongate conns --stuck --target " .. word(group.name))
  end)
end }

PATTERNS[#PATTERNS + 1] = { "function", function(pattern, add)
  each_group(pattern, "by_function", function(group)
    add(PROBLEM, ("%s for %s to answer, the oldest for %s: what the function itself waits for (a connection, a name, "
      .. "a sleep) does not come%s"):format(several(group.count, "connection waits", "connections wait"), group.name,
      duration(group.oldest), ending(group)), "moongate conns --idle 10s --sort idle")
  end)
end }

PATTERNS[#PATTERNS + 1] = { "stuck", function(pattern, add)
  each_group(pattern, "by_target", function(group)
    add(PROBLEM, ("%s taken by %s, which has never answered what the client has sent: it accepts, and hangs or is "
      .. "overloaded; quiet for up to %s%s"):format(several(group.count, "connection was", "connections were"),
      group.name, duration(group.oldest), bound(group.limit, "timeouts.stuck")),
      "moongate conns --stuck --target " .. word(group.name))
  end)
end }

PATTERNS[#PATTERNS + 1] = { "half_zombie", function(pattern, add)
  each_group(pattern, "by_route", function(group)
    local limit = bound(group.limit, group.reason == "reset" and "timeouts.linger" or "timeouts.half_dead")
    add(PROBLEM, ("%s lost one side on route %s, and no byte moves: one peer has ended, the other does not; the oldest "
      .. "for %s%s"):format(group.count == 1 and "1 connection has" or group.count .. " connections have", group.name,
      duration(group.oldest), limit),
      "moongate conns --stuck --route " .. word(group.name))
  end)
end }

PATTERNS[#PATTERNS + 1] = { "no_outgoing", function(pattern, add, snapshot)
  each_group(pattern, "by_port", function(group)
    add(PROBLEM, ("%s to port %s %s no route yet, the oldest for %s: their clients have not sent what the route is "
      .. "chosen by%s%s"):format(connections(group.count),
      group.name, group.count == 1 and "has" or "have", duration(group.oldest), mostly_from(pattern),
      bound(snapshot.config.timeouts.initial_data, "timeouts.initial_data")),
      "moongate conns --state routing --port " .. group.name)
  end)
end }

PATTERNS[#PATTERNS + 1] = { "silent", function(pattern, add)
  each_group(pattern, "by_route", function(group)
    add(PROBLEM, ("%s of route %s %s a peer that acknowledges nothing of what it is sent, nor TCP's questions: "
      .. "gone without a word, or a firewall has forgotten it; the oldest for %s%s%s"):format(
      connections(group.count), group.name, group.count == 1 and "has" or "have", duration(group.oldest),
      mostly_from(pattern), bound(group.limit, "tcp.unacknowledged")), "moongate conns --stuck --route "
      .. word(group.name))
  end)
end }

PATTERNS[#PATTERNS + 1] = { "unread", function(pattern, add)
  each_group(pattern, "by_route", function(group)
    add(PROBLEM, ("%s of route %s %s been sent what is not taken, for up to %s: a peer does not read, or is gone "
      .. "without a word%s%s"):format(connections(group.count), group.name, group.count == 1 and "has" or "have",
      duration(group.oldest), mostly_from(pattern), ending(group)),
      "moongate conns --stuck --route " .. word(group.name))
  end)
end }

PATTERNS[#PATTERNS + 1] = { "keep_alive_stuck", function(pattern, add)
  each_group(pattern, "by_route", function(group)
    add(NOTE, ("%s of route %s %s been quiet for up to %s, kept by keep_alive: if their clients are gone, only TCP's "
      .. "keep-alive probes or the route's lifetime will tell"):format(connections(group.count), group.name,
      group.count == 1 and "has" or "have", duration(group.oldest)),
      "moongate conns --sort idle --route " .. word(group.name))
  end)
end }

PATTERNS[#PATTERNS + 1] = { "no_data", function(pattern, add, snapshot)
  local first = (pattern.by_route or {})[1]
  if first then
    add(NOTE, ("%s not carried a byte either way, the oldest for %s%s; most are of route %s: pools that connect ahead "
      .. "of need, health checks, scanners, or a target that should speak first and hangs%s"):format(
      several(pattern.count, "connection has", "connections have"), duration(pattern.oldest), mostly_from(pattern),
      first.name, bound(snapshot.config.timeouts.idle, "timeouts.idle")), "moongate conns --older 10s --sort bytes")
  end
end }

PATTERNS[#PATTERNS + 1] = { "old", function(pattern, add, snapshot)
  local first = (pattern.by_route or {})[1]
  add(NOTE, ("%s older than %s, the oldest %s%s: usual for WebSockets and pools, else see what keeps them"):format(
    several(pattern.count, "connection is", "connections are"), duration(snapshot.config.diagnose.old),
    duration(pattern.oldest), first and ("; most are of route %s (%d)"):format(first.name, first.count) or ""),
    "moongate conns --older " .. duration(snapshot.config.diagnose.old):gsub(" ", ""))
end }

-- What is known of a worker that is stuck; nil: it is not.
local function stuck_of(snapshot, worker)
  for _, stuck in ipairs(snapshot.stuck or {}) do
    if stuck.number == worker.number then
      return stuck
    end
  end
end

-- What a worker is in that does not answer, as far as that is known.
local function where(stuck)
  if not stuck then
    return "runs a function that does not wait, or hangs in a call"
  end
  local kernel = stuck.kernel and (" (in the kernel: %s)"):format(stuck.kernel) or ""
  if stuck.file then
    return ("hangs in a function of %s%s%s"):format(stuck.file, stuck.route and ", route " .. stuck.route or "", kernel)
  end
  return "hangs in a call that does not return" .. kernel
end

-- It has been silent for as long as the one who looks first says: a worker that is stuck is not asked again.
local function unanswered(stuck, worker)
  return ("worker %d has not answered for %s: all of its connections wait until it goes on, and are not counted here; "
    .. "it %s"):format(worker.number, duration(math.max(worker.lag, stuck and stuck.seconds or 0)), where(stuck))
end

local function workers(snapshot, add)
  for _, worker in ipairs(snapshot.workers) do
    if not worker.answered then
      add(PROBLEM, unanswered(stuck_of(snapshot, worker), worker), "moongate status")
    elseif worker.worst_lag >= LAG then
      add(PROBLEM, ("worker %d was late by up to %s since the last snapshot: functions of routes run long, or there is "
        .. "no CPU left"):format(worker.number, worker.worst_lag < 1 and ("%d ms"):format(worker.worst_lag * 1000)
        or duration(worker.worst_lag)), nil)
    end
  end
end

local function room(snapshot, add)
  local descriptors = snapshot.descriptors or {}
  if (descriptors.limit or 0) > 0 and descriptors.used >= DESCRIPTORS * descriptors.limit then
    add(PROBLEM, ("%d of %d descriptors are used: a forwarded connection takes two; raise the limit (ulimit -n, "
      .. "LimitNOFILE=) or set limits.connections"):format(descriptors.used, descriptors.limit), nil)
  end
  local cap, open = snapshot.config.limits.connections, snapshot.connections.open
  if cap > 0 and open >= CAP * cap then
    local early = snapshot.config.limits.idle_near_cap
    add(PROBLEM, ("%d connections are open, and limits.connections is %d: %s"):format(open, cap,
      open >= cap and "new ones are refused" or (early or 0) > 0
      and ("those that are quiet for %s are closed early, then new ones are refused"):format(duration(early))
      or "beyond that new ones are refused"), "moongate conns --sort idle")
  end
end

-- Against the history: since when there are more.
local function growth(snapshot, add)
  local trend, open = snapshot.trend, snapshot.connections.open
  local least
  for _, sample in ipairs(trend) do
    least = (not least or sample.open <= least.open) and sample or least
  end
  if least and open >= GROWN * least.open and open - least.open >= GROWTH then
    local first = snapshot.connections.by_client[1]
    local route = snapshot.connections.by_route[1]
    add(PROBLEM, ("the connections have grown from %d to %d in %s%s%s"):format(least.open, open, duration(least.ago),
      route and ("; %d are of route %s"):format(route.count, route.name) or "",
      first and first.count >= SHARE * open and ("; %d are from %s"):format(first.count, first.name) or ""),
      "moongate conns --sort client")
  end
end

local WHO = "; moongate addresses says who"
local REFUSALS = {
  limit_connections = "limits.connections was reached",
  limit_route = "a route's max_connections was reached",
  limit_ip = "addresses had as many open as connections_per_ip allows" .. WHO,
  limit_rate = "addresses opened more than connection_rate allows" .. WHO,
  limit_blocked = "they came from blocked addresses (limits.block_for)" .. WHO,
  limit_addresses = "limits.addresses was reached",
  not_allowed = "ip_allow or ip_block keeps their addresses out; the log says whom",
  not_authorized = "authorize said no; the log says to whom",
  proxy_header = "their PROXY headers were not taken; the log says why",
  no_descriptors = "there was no descriptor left",
  no_memory = "there was no memory left",
}
local FAILURES = {
  refused = "every target refused them: the back end is down or does not listen; the log names it",
  unreachable = "there is no way to the target: routing, firewall or network; the log names it",
  connect_timeout = "no target answered within timeouts.connect",
  resolve = "the target's name could not be resolved: look at DNS",
  handler_error = "a function of the route raised an error; the log has it",
}

local function ended(snapshot, add)
  local since = snapshot.since_last
  local function tell(side, texts)
    local reasons = {}
    for reason in pairs(since.terminations[side] or {}) do
      reasons[#reasons + 1] = texts[reason] and reason or nil
    end
    table.sort(reasons)
    for _, reason in ipairs(reasons) do
      local count = since.terminations[side][reason]
      add(NOTE, ("%s ended as %s in the last %s: %s"):format(several(count, "connection has", "connections have"),
        reason, duration(since.seconds), texts[reason]), nil)
    end
  end
  tell("client", REFUSALS)
  tell("target", FAILURES)
end

local function stopping(snapshot, add)
  if snapshot.drain then
    add(NOTE, ("moongate is stopping: what is still open is ended in %s"):format(
      duration(math.ceil(snapshot.drain.seconds))), "moongate status")
  end
end

local function engine(snapshot, add)
  for index, fault in ipairs(snapshot.engine and snapshot.engine.faults or {}) do
    if index <= NAMED then
      add(PROBLEM, ("the engine %s: %s"):format(snapshot.engine.name, fault.message), "moongate status")
    end
  end
end

local function files(snapshot, add)
  for _, fault in ipairs(snapshot.faults or {}) do
    add(PROBLEM, ("%s: %s"):format(fault.field or fault.file, fault.message), "moongate status")
  end
  local config_faults, waiting = #(snapshot.config_faults or {}), #(snapshot.restart_needed or {})
  if config_faults > 0 then
    add(NOTE, ("the config has %s, so nothing of it has been taken up since, and what was live before is"):format(
      text.plural(config_faults, "fault")), "moongate check")
  end
  if waiting > 0 then
    local more = waiting > 1 and (" (and %d more)"):format(waiting - 1) or ""
    add(NOTE, ("a restart is needed for what the config says: %s%s"):format(snapshot.restart_needed[1], more),
      "moongate status")
  end
  for index, file in ipairs(snapshot.faulty_files or {}) do
    if index <= NAMED then
      local faults = text.plural(file.faults, "fault")
      if file.state == "impaired" then
        add(PROBLEM, ("an engine reports %s of what is live of route file %s"):format(faults, file.file),
          "moongate status")
      elseif file.faults > 0 then -- else it is the directory's, among the faults above
        local what = file.waits and "and waits for what it asks for"
          or file.state == "absent" and "and nothing of it is served" or "and its last good version is served"
        add(NOTE, ("route file %s has %s, %s"):format(file.file, faults, what),
          file.waits and "moongate status" or "moongate check") -- check binds nothing: it finds no port taken
      end
    end
  end
  local reload = snapshot.reload or {}
  if (reload.old_connections or 0) > 0 then
    add(NOTE, ("%s by a route that has changed or gone since (on_change says keep or drain)"):format(
      several(reload.old_connections, "connection goes on", "connections go on")), "moongate conns")
  end
end

-- Names whose last known addresses serve, and for how long still.
local function names(snapshot, add)
  local dns = snapshot.dns or {}
  local first = (dns.stale_names or {})[1]
  if not first then
    return
  end
  local more = dns.stale > 1 and (" (and %s more)"):format(several(dns.stale - 1, "name", "names")) or ""
  add(PROBLEM, ("%s can't be looked up%s: %s; its last known addresses were good until %s ago, and serve for %s more"
    .. " (dns.stale): look at the name servers"):format(first.name, more, first.error, duration(first.seconds),
    duration(first.left)), "moongate status")
end

-- Targets that could not be reached lately.
local function targets(snapshot, add)
  local failed = snapshot.failed_targets or {}
  local first = (failed.list or {})[1]
  if not first then
    return
  end
  local more = failed.count > 1 and (" (and %s more)"):format(several(failed.count - 1, "target", "targets")) or ""
  local last = first.left > 0 and (", and is tried last for %s"):format(duration(first.left)) or ""
  add(PROBLEM, ("target %s has failed lately%s: %s, %s ago%s"):format(first.target, more, first.error,
    duration(first.seconds), last), "moongate status")
end

---What stands out in a snapshot, the worst first: a list of { severity = "problem" | "note", about =, text =, command =
---}. Empty when nothing does.
---@param snapshot table
---@return table[]
function findings.of(snapshot)
  local problems, notes = {}, {}
  local function adder(about)
    return function(severity, sentence, command)
      local list = severity == PROBLEM and problems or notes
      list[#list + 1] = { severity = severity, about = about, text = sentence, command = command }
    end
  end
  workers(snapshot, adder("workers"))
  for _, entry in ipairs(PATTERNS) do
    local pattern = snapshot.patterns[entry[1]]
    if pattern and pattern.count > 0 then
      entry[2](pattern, adder(entry[1]), snapshot)
    end
  end
  room(snapshot, adder("room"))
  growth(snapshot, adder("growth"))
  ended(snapshot, adder("terminations"))
  files(snapshot, adder("files"))
  names(snapshot, adder("names"))
  targets(snapshot, adder("targets"))
  engine(snapshot, adder("engine"))
  stopping(snapshot, adder("draining"))
  for _, note in ipairs(notes) do
    problems[#problems + 1] = note
  end
  return problems
end

return findings
