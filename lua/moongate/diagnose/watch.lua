-- SPDX-License-Identifier: MIT
--
-- The watch: a look at the workers every `diagnose.every`, a short history of them, and a snapshot where a threshold of
-- the config is passed. It goes by the config that is live, which it reads once a second.

local json = require("moongate.json")
local moongate = require("moongate")
local native = require("moongate.native")

local watch = {}

local SAMPLES = 120
local PAUSE = 30 -- at least so long between two snapshots for the same cause, but for the command
local PAUSE_MOST = 3600 -- while a threshold stays passed, each pause is twice the one before, up to this
local EVERY_LEAST, LOOK = 0.1, 1

local history = {} -- the oldest first
local worst = {} -- by worker: how late it was at worst, since the last snapshot
local pauses = { signal = {}, connections = {}, spike = {} }

local function is_paused(pause)
  return pause.last and moongate.now() < pause.last + math.max(pause.seconds or 0, PAUSE)
end

---Makes a snapshot for a cause, unless there was one for it just now: one for a cause holds up none for another.
---@param cause string "signal", "connections", "spike"
---@param make fun(cause: string): table?, string?
function watch.begin(cause, make)
  local pause = pauses[cause]
  if is_paused(pause) then
    moongate.log.info("no snapshot: there was one less than 30 seconds ago; moongate diagnose makes one at once",
      { trigger = cause })
    return
  end
  pause.last = moongate.now()
  local snapshot, failure = make(cause)
  if not snapshot then
    error(failure, 0)
  end
end

-- A threshold that stays passed is told again, less and less often: the snapshots of the beginning are worth more.
local function judge_one(cause, passed, make)
  local pause = pauses[cause]
  if not passed then
    pause.seconds = nil
  elseif not is_paused(pause) then
    local seconds = pause.seconds and 2 * pause.seconds or PAUSE
    local done, failure = pcall(watch.begin, cause, make)
    if not done then
      moongate.log.error("diagnosing has failed", { error = failure })
    end
    pause.seconds = math.min(seconds, PAUSE_MOST)
  end
end

-- One that passes both is told as the first.
local function judge(settings, before, sample, make)
  local over = settings.connections > 0 and sample.open >= settings.connections
  local jumped = before and settings.spike > 0 and sample.open >= before.open + settings.spike
  local told = over and not is_paused(pauses.connections)
  judge_one("connections", over, make)
  if not (told and jumped) then
    judge_one("spike", jumped, make)
  end
end

-- What a worker said last counts for one that does not answer.
local function sample_of(workers)
  local sample = { open = 0, connecting = 0, accepted = 0, ended = 0, lag = 0, silent_workers = 0 }
  sample.time = moongate.now()
  for _, worker in ipairs(workers) do
    local open, accepted = worker.connections or 0, worker.accepted or 0
    sample.open, sample.accepted = sample.open + open, sample.accepted + accepted
    sample.connecting = sample.connecting + (worker.connecting or 0)
    sample.ended = sample.ended + accepted - open
    sample.silent_workers = sample.silent_workers + (worker.answered and 0 or 1)
    sample.lag = math.max(sample.lag, worker.lag or 0, not worker.answered and worker.age or 0)
    worst[worker.number] = math.max(worst[worker.number] or 0, worker.answered and worker.lag or 0)
  end
  return sample
end

local function look(settings, make)
  local answer = native.ask("workers", {})
  if answer.error then
    return
  end
  local before, sample = history[#history], sample_of(answer.workers)
  history[#history + 1] = sample
  if #history > SAMPLES then
    table.remove(history, 1)
  end
  local readiness = native.ask("readiness", {})
  if not (readiness.starting or readiness.draining) then
    judge(settings, before, sample, make)
  end
end

---The task, from the start of an instance until there is none any more.
function watch.run()
  local make = require("moongate.diagnose").make
  local last = moongate.now()
  while true do
    local config = native.ask("config", {})
    if config.error then
      return
    end
    local now, every = moongate.now(), config.diagnose.every
    local due = every > 0 and last + math.max(every, EVERY_LEAST)
    if due and now >= due then
      last = now
      look(config.diagnose, make)
    else
      moongate.sleep(due and math.min(due - now, LOOK) or LOOK)
    end
  end
end

---The history, for a snapshot.
---@return table[]
function watch.trend()
  local list, now = {}, moongate.now()
  for index, sample in ipairs(history) do
    local told = { ago = now - sample.time }
    for name, value in pairs(sample) do
      told[name] = name ~= "time" and value or nil
    end
    list[index] = told
  end
  return json.list(list)
end

---How late a worker was at worst since the last snapshot; this is one.
---@param number integer
---@param lag number now
---@return number
function watch.take_worst(number, lag)
  local most = math.max(worst[number] or 0, lag)
  worst[number] = nil
  return most
end

return watch
