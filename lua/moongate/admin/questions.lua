-- SPDX-License-Identifier: MIT
--
-- Questions about what runs, answered page by page: the live routes, the addresses that limits know, and why a
-- connection gets its route. Those about connections are admin/connections.lua's.

local answers = require "moongate.admin.answers"
local asking = require "moongate.admin.asking"
local explain = require "moongate.explain"
local json = require "moongate.json"
local native = require "moongate.native"
local query = require "moongate.admin.query"
local route_rows = require "moongate.route_rows"

local questions = {}

local CANDIDATES = 100

local PORT = query.number(0, 65535)

local ROUTES = asking.paged { route = query.text, file = query.text, port = PORT }

local ADDRESSES = asking.paged {
  client = query.text,
  scope = query.one_of("all", "unrouted", "route"),
  route = query.text,
  blocked = query.flag,
  sort = query.one_of("refused", "connections", "rate", "blocked", "client"),
}

-- What an order is by; the largest first, but for addresses.
local ADDRESSES_BY = { client = "address", blocked = "blocked_for" }

local EXPLAIN = {
  port = PORT,
  address = query.text,
  domain = query.text,
  client_ip = query.text,
  tls_version = query.text,
  tls = query.flag,
  limit = query.number(1, asking.MOST),
}

-- What is counted for the routes is as old as the last question for it.
function questions.routes(request)
  local wanted, refusal = asking.read(request, ROUTES)
  if not wanted then
    return refusal
  end
  local counted = native.ask "totals"
  local answer
  answer, refusal = asking.ask("routes", {
    where = { name = wanted.route, file = wanted.file },
    port = wanted.port,
    limit = wanted.limit,
    offset = wanted.offset,
  })
  if not answer then
    return refusal
  end
  route_rows.shape_all(answer.routes)
  answer.complete, answer.limit, answer.offset = answer.complete and counted.complete, wanted.limit, wanted.offset
  return asking.finish(answer, "routes")
end

function questions.addresses(request)
  local wanted, refusal = asking.read(request, ADDRESSES)
  if not wanted then
    return refusal
  end
  local sort = wanted.sort or "refused"
  local answer
  answer, refusal = asking.ask("addresses", {
    where = { address = wanted.client, scope = wanted.scope, route = wanted.route, blocked = wanted.blocked or nil },
    sort = ADDRESSES_BY[sort] or sort,
    descending = sort ~= "client",
    limit = wanted.limit,
    offset = wanted.offset,
  }, { address = "client" })
  if not answer then
    return refusal
  end
  answer.addresses, answer.limit, answer.offset = json.list(answer.addresses), wanted.limit, wanted.offset
  return answers.json(200, answer)
end

function questions.explain(request)
  local wanted, wrong = query.read(request, EXPLAIN)
  if not wanted then
    return answers.fault(400, wrong)
  end
  wanted.limit = wanted.limit or CANDIDATES
  local answer, refusal = asking.call(explain.ask, wanted)
  return answer and answers.json(200, answer) or refusal
end

return questions
