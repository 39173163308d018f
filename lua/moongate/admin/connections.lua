-- SPDX-License-Identifier: MIT
--
-- The connections, over the API: those that filters mean, page by page, and the end of them. The workers filter, order
-- and keep a page; what else there is to it is here.

local answers = require "moongate.admin.answers"
local asking = require "moongate.admin.asking"
local json = require "moongate.json"
local native = require "moongate.native"
local query = require "moongate.admin.query"
local text = require "moongate.text"

local connections = {}

local MOST_IDS, MOST_TOLD = 32 * 1024, 1024 -- characters of a list of ids, and ids

local STATES = { "routing", "connecting", "forwarding", "handling", "idle", "closing" }

-- Which connections are meant: how a parameter is read, and what it is for who selects.
local FILTERS, WHERE = {}, {}
for name, filter in pairs {
  id = { query.text_of(MOST_IDS), "id" },
  route = { query.text, "route" },
  client = { query.text, "client_ip" },
  state = { query.text, "state" },
  port = { query.number(0, 65535), "port" },
  domain = { query.text, "domain~" },
  target = { query.text, "target~" },
  older = { query.seconds, "age>=" },
  idle = { query.seconds, "idle>=" },
  stuck = { query.flag, "stuck" },
} do
  FILTERS[name], WHERE[name] = filter[1], filter[2]
end

local LIST = asking.paged { sort = query.one_of("age", "idle", "bytes", "client") }
for name, kind in pairs(FILTERS) do
  LIST[name] = kind
end

local ORDERS = { client = "client_ip" } -- the others are told the largest first

local function is_state(word)
  for _, state in ipairs(STATES) do
    if state == word then
      return true
    end
  end
  return false
end

-- What native.ask() takes of what a request has; or nil and the response that refuses.
local function arguments_of(wanted)
  if wanted.state and not is_state(wanted.state) then
    local known = table.concat(STATES, ", ", 1, #STATES - 1) .. " and " .. STATES[#STATES]
    return nil, answers.fault(400, ('state: "%s" is none of %s'):format(wanted.state, known))
  end
  local where, sort = {}, wanted.sort or "age"
  for name, field in pairs(WHERE) do
    where[field] = wanted[name] or nil
  end
  return {
    where = where,
    sort = ORDERS[sort] or sort,
    descending = not ORDERS[sort],
    limit = wanted.limit,
    offset = wanted.offset,
  }
end

-- The answer to what a request asks for; a route of which there is no connection must be one.
local function ask(question, wanted)
  local arguments, refusal = arguments_of(wanted)
  local answer
  if arguments then
    answer, refusal = asking.ask(question, arguments, { client_ip = "client" })
  end
  if answer and wanted.route and answer.total == 0 then
    refusal = connections.refusal_of_route(wanted.route)
  end
  return not refusal and answer or nil, refusal
end

---nil when there is a route of that name, or was and has connections; else the response that says so.
function connections.refusal_of_route(name)
  local live = native.ask("routes", { where = { name = name } })
  local old = (live.total or 0) == 0 and native.ask("connections", { where = { route = name } })
  if not old or old.error or old.total > 0 or not old.complete then
    return nil
  end
  local names = {}
  for index, route in ipairs(native.ask("routes", { limit = asking.MOST }).routes or {}) do
    names[index] = route.name
  end
  local nearest = text.nearest(name, names)
  local hint = nearest and (": did you mean %s?"):format(text.show(nearest)) or ""
  return answers.fault(404, ("there is no live route %s%s"):format(text.show(name), hint))
end

function connections.list(request)
  local wanted, refusal = asking.read(request, LIST)
  local answer
  if wanted then
    answer, refusal = ask("connections", wanted)
  end
  if not answer then
    return refusal
  end
  answer.workers, answer.limit, answer.offset = nil, wanted.limit, wanted.offset
  return asking.finish(answer, "connections")
end

-- The ids that nobody has: not those of a worker that has not answered.
local function unknown_of(ids, answer)
  local known, silent, unknown = {}, {}, {}
  for _, connection in ipairs(answer.connections or {}) do
    known[connection.id] = true
  end
  for _, worker in ipairs(answer.workers) do
    silent[worker.number] = not worker.answered
  end
  for id in ids:gmatch "[^,]+" do
    local worker = tonumber(id:match "^(%d+)%-%d+$")
    if worker and not known[id] and not silent[worker] then
      known[id] = true
      unknown[#unknown + 1] = id
    end
  end
  return json.list(unknown)
end

-- What has become of those that are meant, or nil and the response that refuses.
local function kill(wanted)
  wanted.limit = wanted.id and MOST_TOLD or 0
  local answer, refusal = ask("kill", wanted)
  if not answer then
    return nil, refusal
  end
  local waiting = 0
  for _, worker in ipairs(answer.workers) do
    waiting = waiting + (worker.away and 1 or 0)
  end
  return {
    killed = answer.total,
    open = answer.open - answer.total,
    waiting = waiting,
    complete = answer.complete,
    unknown = wanted.id and unknown_of(wanted.id, answer) or nil,
  }
end

-- An id that nobody has is 404. What a worker has not done in time it does when it goes on, unless it is stuck.
local function answer_of_one(id, killed)
  if killed.killed > 0 then
    return answers.json(200, { killed = killed.killed })
  elseif killed.waiting > 0 then
    return answers.json(202, { killed = 0, waiting = killed.waiting })
  elseif killed.complete or #killed.unknown > 0 then
    return answers.fault(404, ("there is no connection %s (any more)"):format(text.show(id)))
  end
  for _, worker in ipairs(native.ask("readiness").stuck) do
    if worker.number == tonumber(id:match "^%d+") then
      return answers.fault(503, text.stuck_worker(worker) .. ": its connections can't be ended before it goes on")
    end
  end
  return answers.fault(503, "the worker that has it did not answer")
end

---Ends one connection.
function connections.kill(request, id)
  local wanted, wrong = query.read(request, {})
  if not wanted then
    return answers.fault(400, wrong)
  end
  if not id:find "^%d+%-%d+$" then
    return answers.fault(404, ("%s is no id of a connection"):format(text.show(id)))
  end
  local killed, refusal = kill({ id = id })
  return killed and answer_of_one(id, killed) or refusal
end

---Ends those that are meant: all is meant by nobody who does not say so.
function connections.kill_many(request)
  local wanted, wrong = query.read(request, FILTERS)
  if not wanted then
    return answers.fault(400, wrong)
  elseif next(wanted) == nil then
    return answers.fault(400, "which ones? id, route, client, stuck and the other filters say so")
  end
  local killed, refusal = kill(wanted)
  if not killed then
    return refusal
  end
  if not killed.complete then
    killed.stuck = json.list(native.ask("readiness").stuck)
  end
  return answers.json(200, killed)
end

return connections
