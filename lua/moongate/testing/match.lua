-- SPDX-License-Identifier: MIT
--
-- testing.match: which of some routes a connection would take, and why. The choice is C's, the same as a worker makes;
-- the routes' `when` are asked here.

local reasons = require "moongate.explain.reasons"
local route_rows = require "moongate.route_rows"
local routes = require "moongate.testing.routes"
local testing = require("moongate.native").testing()

local FIELDS = {
  port = true,
  domain = true,
  client_ip = true,
  tls = true,
  tls_version = true,
  path = true,
  headers = true,
}
local HTTPS = 443

local Result = {}

function Result.__tostring(result)
  local lines = { ("%s"):format(result.route or "no route") }
  for _, candidate in ipairs(result.candidates) do
    lines[#lines + 1] = ("  %s: %s%s"):format(
      candidate.route,
      candidate.verdict,
      candidate.reason and (" (%s)"):format(candidate.reason) or ""
    )
  end
  return table.concat(lines, "\n")
end

local function is_match(candidate)
  local verdict = candidate.verdict
  return verdict == "chosen" or verdict == "when" or verdict == "outranked"
end

local NAMES = 3

-- What is told of a route, in the words of a spec.
local function candidate_of(row, answer)
  local reason = reasons.of(row, answer)
  if row.clause == "domains" and not answer.domain then
    reason = "it has domains, and the client named none"
  elseif row.clause == "domains" then
    local domains = row.match.domains
    local more = #domains > NAMES and (" or one of %d more"):format(#domains - NAMES) or ""
    reason = ("%s does not match %s%s"):format(answer.domain, table.concat(domains, " or ", 1,
      math.min(#domains, NAMES)), more)
  end
  return {
    route = row.name,
    verdict = row.clause,
    tie = row.by,
    domain = row.matched.domain,
    client_ip = row.matched.client_ip,
    reason = reason,
  }
end

local function when_of(list, name)
  for _, route in ipairs(list) do
    if route.name == name then
      return route.match and route.match.when
    end
  end
end

-- The first that matches and whose `when` says so, or that has none.
local function choose(list, candidates, context)
  local chosen
  for _, candidate in ipairs(candidates) do
    if not is_match(candidate) then
      break
    end
    local when = when_of(list, candidate.route)
    if chosen then
      candidate.verdict = "outranked"
    elseif not when or when(context) then
      candidate.verdict = "chosen"
      chosen = candidate.route
    else
      candidate.verdict, candidate.reason = "when", "its `when` says no"
    end
  end
  return chosen
end

local function check_question(question)
  if type(question) ~= "table" then
    error("bad argument #2 to 'testing.match' (a table expected: { port = 443, domain = \"a.example.com\" })", 3)
  end
  for name in pairs(question) do
    if not FIELDS[name] then
      error(("bad argument #2 to 'testing.match' (there is no field '%s')"):format(tostring(name)), 3)
    end
  end
end

-- Set here, where files are put together: what the loader would give would be by another index.
local function with_names(list)
  for i, route in ipairs(list) do
    route.name = route.name or ("routes#%d"):format(i)
  end
  return list
end

---@param given table|string routes as in testing.start
---@param question { port?: integer, domain?: string, client_ip?: string, tls?: boolean, tls_version?: string }
---@return { route: string?, candidates: table[] } result
local function match(given, question)
  check_question(question)
  local list = with_names(routes.list(given))
  local tls = question.tls
  if tls == nil then
    tls = question.tls_version ~= nil or question.port == HTTPS
  end
  local answer = testing.match({
    routes = list,
    config = {},
    port = question.port,
    domain = question.domain,
    client_ip = question.client_ip,
    tls = tls,
    tls_version = question.tls_version,
  })
  if #answer.faults > 0 then
    error(routes.describe(answer.faults), 2)
  end
  local context = { client_ip = question.client_ip or "127.0.0.1", client_port = 50000 }
  for name, value in pairs(question) do
    context[name] = value
  end
  local candidates = {}
  for index, row in ipairs(route_rows.shape_all(answer.verdicts)) do
    candidates[index] = candidate_of(row, answer)
  end
  local chosen = choose(list, candidates, context)
  return setmetatable({ route = chosen, candidates = candidates, listens = answer.listens }, Result)
end

return match
