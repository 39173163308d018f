-- SPDX-License-Identifier: MIT
--
-- Questions about what runs, answered page by page: the live routes, the addresses that limits know, and why a
-- connection gets its route. Those about connections are admin/connections.lua's.

local answers = require "moongate.admin.answers"
local asking = require "moongate.admin.asking"
local json = require "moongate.json"
local native = require "moongate.native"
local query = require "moongate.admin.query"

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

local EXPLAIN = {
  port = PORT,
  address = query.text,
  domain = query.text,
  client_ip = query.text,
  tls_version = query.text,
  tls = query.flag,
  limit = query.number(1, asking.MOST),
}

local function ask(fn, request, kinds)
  local wanted, refusal = asking.read(request, kinds)
  if not wanted then
    return nil, refusal
  end
  return asking.call(fn, wanted)
end

function questions.routes(request)
  local answer, refusal = ask(native.routes, request, ROUTES)
  if not answer then
    return refusal
  end
  return asking.finish(answer, "routes")
end

function questions.addresses(request)
  local answer, refusal = ask(native.addresses, request, ADDRESSES)
  if not answer then
    return refusal
  end
  answer.addresses = json.list(answer.addresses)
  return answers.json(200, answer)
end

function questions.explain(request)
  local wanted, wrong = query.read(request, EXPLAIN)
  if not wanted then
    return answers.fault(400, wrong)
  end
  wanted.limit = wanted.limit or CANDIDATES
  local answer, refusal = asking.call(native.explain, wanted)
  if not answer then
    return refusal
  end
  answer.candidates = json.list(answer.candidates)
  return answers.json(200, answer)
end

return questions
