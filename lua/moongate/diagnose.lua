-- SPDX-License-Identifier: MIT
--
-- The snapshot for three in the morning: what runs, what the connections have in common, and what to look at first.
-- What is counted comes from moongate.native, what it means from moongate.diagnose.findings; the file is kept by
-- native as well.

local findings = require("moongate.diagnose.findings")
local json = require("moongate.json")
local native = require("moongate.native")

local diagnose = {}

local FORMAT = 1

-- Lists that are lists when they are empty too.
local function mark_lists(snapshot)
  local connections = snapshot.connections
  for _, key in ipairs({ "by_route", "by_client", "by_target", "ages" }) do
    connections[key] = json.list(connections[key])
  end
  snapshot.workers, snapshot.trend = json.list(snapshot.workers), json.list(snapshot.trend)
  for _, pattern in pairs(snapshot.patterns) do
    for _, key in ipairs({ "by_target", "by_route", "by_client", "by_port", "by_function", "examples" }) do
      pattern[key] = json.list(pattern[key])
    end
  end
end

local function faulty(files)
  local list = {}
  for _, file in ipairs(files or {}) do
    if not file.ok then
      list[#list + 1] =
        { file = file.file, state = file.state, waits = file.waits, faults = #(file.faults or {}) }
    end
  end
  return json.list(list)
end

local function total(totals)
  local reasons = {}
  for side, counts in pairs(totals or {}) do
    reasons[side] = {}
    for reason, count in pairs(counts) do
      reasons[side][reason] = count > 0 and count or nil
    end
  end
  return reasons
end

local function pipes_of(workers)
  local used, limit = 0, 0
  for _, worker in ipairs(workers) do
    used, limit = used + (worker.pipes or 0), limit + (worker.pipes_limit or 0)
  end
  return { used = used, limit = limit }
end

---The snapshot; or nil, what is in the way and the status of the response that says so.
---@param trigger string why it is made: "command", "signal", "connections", "spike"
---@return table? snapshot
---@return string? failure
---@return integer? status
function diagnose.take(trigger)
  local done, snapshot = pcall(native.ask, "diagnose")
  if not done then
    return nil, tostring(snapshot), 503
  elseif snapshot.error then
    return nil, snapshot.error, snapshot.status
  end
  mark_lists(snapshot)
  local status, counted = native.ask("status"), native.ask("snapshot")
  local reload = status.reload or {}
  snapshot.format, snapshot.trigger = FORMAT, trigger
  snapshot.version, snapshot.pid = status.version, status.pid
  snapshot.started, snapshot.uptime = status.started, status.uptime
  snapshot.draining, snapshot.drain, snapshot.generation = status.draining, status.drain, status.generation
  snapshot.stuck = json.list(status.stuck or {})
  snapshot.memory = { rss = status.rss }
  snapshot.descriptors = status.descriptors
  snapshot.pipes = pipes_of(snapshot.workers)
  snapshot.totals = {
    accepted = counted.connections,
    terminations = total(counted.terminations),
    errors = total({ all = counted.errors }).all,
  }
  snapshot.reload = {
    phase = reload.phase,
    phase_ms = reload.phase_ms,
    old_versions = reload.old_versions,
    old_connections = counted.old_connections,
  }
  snapshot.faulty_files = faulty(status.files)
  snapshot.faults = json.list(status.faults)
  snapshot.config_faults = json.list(status.config_faults)
  snapshot.restart_needed = json.list(status.restart_needed)
  snapshot.engine = status.engine
  if snapshot.engine then
    snapshot.engine.faults = json.list(snapshot.engine.faults)
  end
  snapshot.dns = status.dns
  if snapshot.dns then
    snapshot.dns.stale_names = json.list(snapshot.dns.stale_names)
  end
  snapshot.look_at = json.list(findings.of(snapshot))
  return snapshot
end

---The snapshot, kept as a file: snapshot.path, or snapshot.not_kept says why there is none.
function diagnose.make(trigger)
  local snapshot, failure, status = diagnose.take(trigger)
  if not snapshot then
    return nil, failure, status
  end
  local log = require("moongate").log
  local kept = native.keep_diagnosis(trigger, json.encode(snapshot) .. "\n")
  if kept.error then
    snapshot.not_kept = ("%s: %s"):format(kept.path or "the state directory", kept.error)
    log.error("the snapshot can't be kept", { at = kept.path, error = kept.error })
  else
    snapshot.path = kept.path
    local first = snapshot.look_at[1]
    log.warn("a snapshot of the connections", {
      trigger = trigger,
      snapshot = kept.path,
      connections = snapshot.connections.open,
      look_at = first and first.text or "nothing stands out",
    })
  end
  return snapshot
end

---What a signal or a threshold begins.
---@param trigger string
---@return integer status 0: there is one
function diagnose.capture(trigger)
  local snapshot, failure = diagnose.make(trigger)
  if not snapshot then
    error(failure, 0)
  end
  return 0
end

---The response to POST /api/v1/diagnose.
function diagnose.respond()
  local answers = require("moongate.admin.answers")
  local snapshot, failure, status = diagnose.make("command")
  if not snapshot then
    return answers.fault(status, failure)
  end
  return answers.json(200, snapshot)
end

return diagnose
