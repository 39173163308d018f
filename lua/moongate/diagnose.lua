-- SPDX-License-Identifier: MIT
--
-- The snapshot for three in the morning: what runs, what the connections have in common, and what to look at first.
-- What is counted comes from the workers by moongate.native, by what is from moongate.diagnose.patterns, what it means
-- from moongate.diagnose.findings, its history from moongate.diagnose.watch; the file is kept by native as well.

local findings = require("moongate.diagnose.findings")
local json = require("moongate.json")
local moongate = require("moongate")
local native = require("moongate.native")
local patterns = require("moongate.diagnose.patterns")
local watch = require("moongate.diagnose.watch")

local diagnose = {}

local FORMAT = 1

-- What had been counted at the last snapshot.
local before = { terminations = {}, errors = {}, connections = 0 }

-- By how much counters have grown, those that have not left out; a worker that is silent now may make one smaller.
local function growth(now, then_)
  local grown = {}
  for name, count in pairs(now or {}) do
    local more = count - (then_ and then_[name] or 0)
    grown[name] = more > 0 and more or nil
  end
  return grown
end

local function since_last(counted, uptime)
  local now = moongate.now()
  local since = {
    seconds = before.at and now - before.at or uptime,
    accepted = math.max(0, counted.connections - before.connections),
    errors = growth(counted.errors, before.errors),
    terminations = {},
  }
  for side, counts in pairs(counted.terminations) do
    since.terminations[side] = growth(counts, before.terminations[side])
  end
  before = { at = now, connections = counted.connections, errors = counted.errors, terminations = counted.terminations }
  return since
end

-- One that has not answered has been silent since it was asked, or for as long as its heartbeat says.
local function workers_of(answer, asked, stuck)
  local list, silent = {}, {}
  for _, worker in ipairs(stuck or {}) do
    silent[worker.number] = worker.seconds
  end
  for index, worker in ipairs(answer.workers) do
    local told = { number = worker.number, answered = worker.answered }
    if worker.answered then
      for _, name in ipairs({ "lag", "connections", "script_memory", "script_states", "pipes", "pipes_limit" }) do
        told[name] = worker[name]
      end
    else
      told.lag = math.max(moongate.now() - asked, silent[worker.number] or 0)
    end
    told.worst_lag = watch.take_worst(told.number, told.lag)
    list[index] = told
  end
  return json.list(list)
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
  local asked, config = moongate.now(), native.ask("config")
  local answer = config.error and config or native.ask("groups", patterns.question(config.diagnose.old))
  local status, counted = native.ask("status"), answer.error and answer or native.ask("snapshot")
  if counted.error then
    return nil, counted.error, counted.status
  end
  local snapshot = { time = answer.time, config = config }
  snapshot.connections, snapshot.patterns = patterns.read(answer)
  snapshot.workers, snapshot.trend = workers_of(answer, asked, status.stuck), watch.trend()
  snapshot.since_last = since_last(counted, status.uptime)
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
  snapshot.failed_targets = status.failed_targets
  if snapshot.failed_targets then
    snapshot.failed_targets.list = json.list(snapshot.failed_targets.list)
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
  local log = moongate.log
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

---What a signal begins.
function diagnose.capture()
  watch.begin("signal", diagnose.make)
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
