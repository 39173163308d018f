-- SPDX-License-Identifier: MIT
--
-- Questions about what runs, answered page by page: the live routes, the addresses that limits know and what each has
-- moved, and why a connection gets its route. Those about connections are admin/connections.lua's.

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
  traffic = query.flag,
  sort = query.one_of(
    "refused", "connections", "rate", "blocked", "client", "active", "bytes", "bytes_in", "bytes_out"
  ),
}

-- What an order is by; the largest first, but for addresses. Without traffic, and with it.
local ADDRESSES_BY = {
  refused = "refused",
  connections = "connections",
  rate = "rate",
  blocked = "blocked_for",
  client = "address",
}
local TRAFFIC_BY = {
  bytes = "bytes",
  bytes_in = "bytes_in",
  bytes_out = "bytes_out",
  connections = "connections",
  active = "active",
  client = "address",
}

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
  local totals = answer.totals
  answer.totals = nil
  answer.all = totals and {
    connections = { active = totals.active, total = totals.connections },
    bytes = { ["in"] = totals.bytes_in, out = totals.bytes_out },
  }
  route_rows.shape_all(answer.routes)
  answer.complete, answer.limit, answer.offset = answer.complete and counted.complete, wanted.limit, wanted.offset
  return asking.finish(answer, "routes")
end

-- The limits know nothing of bytes, and what is counted by address nothing of limits.
local function check_traffic(wanted, orders, sort)
  if not orders[sort] then
    local names = {}
    for name in pairs(orders) do
      names[#names + 1] = name
    end
    table.sort(names)
    return answers.fault(400, ("%s can't be put in the order %s: there are %s"):format(
      wanted.traffic and "traffic" or "what the limits know", sort, table.concat(names, ", ")))
  elseif wanted.traffic and (wanted.scope or wanted.route or wanted.blocked) then
    return answers.fault(400, "traffic is counted by address alone: it has no scope, route or blocked")
  end
end

function questions.addresses(request)
  local wanted, refusal = asking.read(request, ADDRESSES)
  if not wanted then
    return refusal
  end
  local orders = wanted.traffic and TRAFFIC_BY or ADDRESSES_BY
  local sort = wanted.sort or (wanted.traffic and "bytes" or "refused")
  refusal = check_traffic(wanted, orders, sort)
  if refusal then
    return refusal
  end
  local answer
  answer, refusal = asking.ask(wanted.traffic and "clients" or "addresses", {
    where = { address = wanted.client, scope = wanted.scope, route = wanted.route, blocked = wanted.blocked or nil },
    sort = orders[sort],
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
