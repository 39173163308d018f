-- SPDX-License-Identifier: MIT
--
-- Questions about what runs, answered page by page: the live routes, the connections, the addresses that limits know,
-- and why a connection gets its route. And the end of those connections that a question means.

local answers = require "moongate.admin.answers"
local json = require "moongate.json"
local native = require "moongate.native"
local query = require "moongate.admin.query"
local text = require "moongate.text"

local questions = {}

local LIMIT, MOST, CANDIDATES = 1000, 2000, 100

local PORT = query.number(0, 65535)
local PAGE_LIMIT, PAGE_OFFSET = query.number(0, MOST), query.number(0, 2 ^ 40)

local ROUTES = { route = query.text, file = query.text, port = PORT, limit = PAGE_LIMIT, offset = PAGE_OFFSET }

local MOST_IDS = 32 * 1024 -- characters of a list of ids

-- Which connections are meant.
local FILTERS = {
  id = query.text_of(MOST_IDS),
  route = query.text,
  client = query.text,
  state = query.text,
  port = PORT,
  domain = query.text,
  target = query.text,
  older = query.seconds,
  idle = query.seconds,
  stuck = query.flag,
}

local CONNECTIONS = {
  sort = query.one_of("age", "idle", "bytes", "client"),
  limit = PAGE_LIMIT,
  offset = PAGE_OFFSET,
}

for name, kind in pairs(FILTERS) do
  CONNECTIONS[name] = kind
end

local ADDRESSES = {
  client = query.text,
  scope = query.one_of("all", "unrouted", "route"),
  route = query.text,
  blocked = query.flag,
  sort = query.one_of("refused", "connections", "rate", "blocked", "client"),
  limit = PAGE_LIMIT,
  offset = PAGE_OFFSET,
}

local EXPLAIN = {
  port = PORT,
  address = query.text,
  domain = query.text,
  client_ip = query.text,
  tls_version = query.text,
  tls = query.flag,
  limit = query.number(1, MOST),
}

-- The list in an answer that workers have a part in: if one has no part in this one, why, as far as that is known.
local function finish(answer, list)
  answer[list] = json.list(answer[list])
  if not answer.complete then
    answer.stuck = json.list(native.readiness().stuck)
  end
  return answers.json(200, answer)
end

-- What native says, or nil and the response that refuses: { error =, status = } of its own, or an error raised while
-- moongate starts or stops.
local function ask_for(fn, wanted)
  local done, answer = pcall(fn, wanted)
  if not done then
    if tostring(answer):find("not running", 1, true) then
      return nil, answers.fault(503, "moongate is starting or stopping")
    end
    error(answer, 0)
  elseif answer.error then
    return nil, answers.fault(answer.status, answer.error, nil, { ports = answer.ports and json.list(answer.ports) })
  end
  return answer
end

local function ask(fn, request, kinds, limit)
  local wanted, wrong = query.read(request, kinds)
  if not wanted then
    return nil, answers.fault(400, wrong)
  end
  wanted.limit = wanted.limit or limit
  return ask_for(fn, wanted)
end

function questions.routes(request)
  local answer, refusal = ask(native.routes, request, ROUTES, LIMIT)
  if not answer then
    return refusal
  end
  return finish(answer, "routes")
end

-- nil when there is a route of that name, or was and has connections; else the response that says so.
local function refusal_of_route(name)
  local live = native.routes({ route = name, limit = 0 })
  local old = (live.total or 0) == 0 and native.connections({ route = name, limit = 0 })
  if not old or old.error or old.total > 0 or not old.complete then
    return nil
  end
  local names = {}
  for index, route in ipairs(native.routes({ limit = MOST }).routes or {}) do
    names[index] = route.name
  end
  local nearest = text.nearest(name, names)
  local hint = nearest and (": did you mean %s?"):format(text.show(nearest)) or ""
  return answers.fault(404, ("there is no live route %s%s"):format(text.show(name), hint))
end

-- The answer; a route of which there is no connection must be one.
local function ask_connections(fn, request, kinds, limit)
  local route
  local answer, refusal = ask(function(wanted)
    route = wanted.route
    return fn(wanted)
  end, request, kinds, limit)
  if answer and route and (answer.total or answer.killed) == 0 then
    refusal = refusal_of_route(route)
  end
  return not refusal and answer or nil, refusal
end

function questions.connections(request)
  local answer, refusal = ask_connections(native.connections, request, CONNECTIONS, LIMIT)
  if not answer then
    return refusal
  end
  return finish(answer, "connections")
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
  for _, worker in ipairs(native.readiness().stuck) do
    if worker.number == tonumber(id:match "^%d+") then
      return answers.fault(503, text.stuck_worker(worker) .. ": its connections can't be ended before it goes on")
    end
  end
  return answers.fault(503, "the worker that has it did not answer")
end

---Ends one connection.
function questions.kill(request, id)
  local wanted, wrong = query.read(request, {})
  if not wanted then
    return answers.fault(400, wrong)
  end
  if not id:find "^%d+%-%d+$" then
    return answers.fault(404, ("%s is no id of a connection"):format(text.show(id)))
  end
  local killed, refusal = ask_for(native.kill, { id = id })
  return killed and answer_of_one(id, killed) or refusal
end

---Ends those that are meant: all is meant by nobody who does not say so.
function questions.kill_many(request)
  local killed, refusal = ask_connections(function(wanted)
    if next(wanted) == nil then
      return { status = 400, error = "which ones? id, route, client, stuck and the other filters say so" }
    end
    return native.kill(wanted)
  end, request, FILTERS)
  if not killed then
    return refusal
  end
  killed.unknown = killed.unknown and json.list(killed.unknown)
  if not killed.complete then
    killed.stuck = json.list(native.readiness().stuck)
  end
  return answers.json(200, killed)
end

function questions.addresses(request)
  local answer, refusal = ask(native.addresses, request, ADDRESSES, LIMIT)
  if not answer then
    return refusal
  end
  answer.addresses = json.list(answer.addresses)
  return answers.json(200, answer)
end

function questions.explain(request)
  local answer, refusal = ask(native.explain, request, EXPLAIN, CANDIDATES)
  if not answer then
    return refusal
  end
  answer.candidates = json.list(answer.candidates)
  return answers.json(200, answer)
end

return questions
