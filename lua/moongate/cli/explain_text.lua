-- SPDX-License-Identifier: MIT
--
-- The words in which `moongate explain` answers: the outcome first, then the routes in the order in which they are
-- asked, each with the clause that turned it down.

local routes = require("moongate.cli.routes")
local tables = require("moongate.cli.table")
local text = require("moongate.text")

local explain_text = {}

local SHOWN_PORTS = 20

local function where(row)
  return row.line > 0 and ("%s:%d"):format(row.file, row.line) or row.file
end

---": 80, 443 and 12 more", of the ports that may be asked about.
---@param ports integer[]|nil
---@return string
function explain_text.ports(ports)
  if not ports or #ports == 0 then
    return ""
  end
  local shown = { unpack(ports, 1, math.min(#ports, SHOWN_PORTS)) }
  local more = #ports > #shown and (" and %d more"):format(#ports - #shown) or ""
  return (" (there are %s%s; --port N says which)"):format(routes.ports(shown):gsub(",", ", "), more)
end

-- "A connection to port 443 for "b.example.com" from 192.0.2.7".
local function subject(body)
  local place = body.address and (" of " .. body.address) or ""
  local parts = { ("A connection to port %d%s"):format(body.port, place) }
  parts[#parts + 1] = body.domain and ('for "%s"'):format(body.domain) or "without a domain"
  if body.client_ip then
    parts[#parts + 1] = "from " .. body.client_ip
  end
  if body.tls_version then
    parts[#parts + 1] = "with TLS " .. body.tls_version
  elseif body.domain and body.tls == false then
    parts[#parts + 1] = "without TLS"
  end
  return table.concat(parts, " ")
end

local function action_of(row)
  local action = row.action
  if action.type == "handler" then
    return "its handler answers"
  end
  local tls = action.tls == "passthrough" and ", TLS passed through" or ""
  return "it is forwarded to " .. routes.action(action):gsub(",", " or ") .. tls
end

local function find_chosen(body)
  for _, row in ipairs(body.candidates) do
    if row.verdict == "chosen" then
      return row
    end
  end
end

-- The routes whose `when` has the last word, before the chosen one.
local function find_whens(body)
  local names = {}
  for _, row in ipairs(body.candidates) do
    if row.verdict == "depends" then
      names[#names + 1] = ('"%s"'):format(row.name)
    end
  end
  return names
end

-- What becomes of a connection that no route takes: docs/routes.md has the table.
local function refusal(body, depends)
  local clauses, looks_at_tls = {}, false
  for clause in pairs(body.omitted or {}) do
    clauses[clause] = true
  end
  for _, row in ipairs(body.candidates) do
    clauses[row.clause or ""] = true
    looks_at_tls = looks_at_tls or row.action.tls ~= nil
  end
  if not looks_at_tls or (not body.tls and not clauses.tls) then
    return "it is closed, reason no_route"
  elseif not body.tls then
    return "an HTTP request is answered with 400 (reason plain_http), all else with an alert of TLS (client_hello)"
  elseif depends then
    return "it is refused with the alert access_denied, reason no_route"
  elseif clauses.tls_version then
    return "it is refused with the alert protocol_version, reason no_route"
  end
  local reason = body.domain and "unknown_server_name" or "no_server_name"
  return ("it is refused with the alert unrecognized_name, reason %s"):format(reason)
end

local function outcome(body)
  local chosen, whens = find_chosen(body), find_whens(body)
  local otherwise = chosen and ('gets route "%s" (%s): %s'):format(chosen.name, where(chosen), action_of(chosen))
    or "gets no route: " .. refusal(body, #whens > 0)
  if #whens == 0 then
    return ("%s %s."):format(subject(body), otherwise)
  end
  return ("%s gets route %s, if its `when` says so; else it %s."):format(
    subject(body), table.concat(whens, " or, failing that, "), otherwise)
end

-- What the question left open, where a route asks for it; nil: nothing.
local function left_open(body)
  local open, parts = {}, {}
  for _, row in ipairs(body.candidates) do
    if row.open then
      open[row.clause] = true
    end
  end
  parts[#parts + 1] = open.client_ip and "the client (--client IP)" or nil
  parts[#parts + 1] = open.tls_version and "the TLS version (--tls-version V)" or nil
  if #parts > 0 then
    return ("Not said: %s. The routes marked ? depend on it."):format(table.concat(parts, " and "))
  end
end

local MARKS = { chosen = "YES", depends = "when", outranked = "later", turned_down = "no" }

local function reason_of(row)
  local parts = {}
  if row.verdict == "turned_down" and row.clause then
    parts[1] = row.clause .. ": " .. (row.reason or "")
  elseif row.verdict == "outranked" then
    parts[1] = "it would match too: " .. (row.reason or "")
  else
    parts[1] = row.reason
  end
  if row.after then
    parts[#parts + 1] = row.after.reason
  end
  return table.concat(parts, "; ")
end

local function candidate(row, width)
  local priority = row.priority ~= 0 and (", priority %d"):format(row.priority) or ""
  local mark = ("  %-5s "):format(row.open and "?" or MARKS[row.verdict] or row.verdict)
  return tables.paragraph(("%s (%s%s)"):format(row.name, where(row), priority), mark, "        ", width)
    .. tables.paragraph(reason_of(row), "        ", "        ", width)
end

-- "4,812 more were turned down by domains".
local function omitted(body, width)
  local names, parts = {}, {}
  for name in pairs(body.omitted or {}) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local how = name == "outranked" and "would match too, later" or "turned down by " .. name
    parts[#parts + 1] = ("%d %s"):format(body.omitted[name], how)
  end
  if #parts == 0 then
    return ""
  end
  return tables.paragraph(("and more: %s (--limit N shows them)"):format(table.concat(parts, ", ")), "  ", "  ", width)
end

---@param body table of the API's answer
---@param question table what was asked
---@param width? integer
---@return string
function explain_text.choice(body, question, width)
  local lines = { tables.paragraph(outcome(body), "", "", width) }
  if #body.candidates == 0 then
    return lines[1]
  end
  local unsaid, others = left_open(body), body.other_addresses
  lines[#lines + 1] = unsaid and tables.paragraph(unsaid, "", "", width) or nil
  if others and not question.address then
    local first = others[1]:find(":", 1, true) and "[" .. others[1] .. "]" or others[1]
    local note = "This port is listened on at %s too: `moongate explain %s:%d` asks there."
    lines[#lines + 1] = tables.paragraph(note:format(table.concat(others, ", "), first, body.port), "", "", width)
  end
  lines[#lines + 1] = "\n"
  lines[#lines + 1] = ("The routes of port %d; those that match first, as they are asked:\n"):format(body.port)
  for _, row in ipairs(body.candidates) do
    lines[#lines + 1] = candidate(row, width)
  end
  lines[#lines + 1] = omitted(body, width)
  if question.path then
    lines[#lines + 1] = tables.paragraph(
      ("Note: the path %s plays no part in the choice of these routes."):format(question.path), "\n", "", width)
  end
  return table.concat(lines)
end

local STATES = {
  routing = "its route is not known yet: what the choice needs has not arrived",
  connecting = "its target is being connected to",
  forwarding = "bytes go both ways between the client and the target",
  handling = "its handler runs",
  closing = "all is sent, and the client has not ended yet",
}

local CLASSES = {
  connecting = "no target has answered for %s",
  half_dead = "half dead: one side has ended, and no byte has moved for %s",
  stuck = "the target has never answered, and no byte has moved for %s",
}

local function trouble(row)
  local class = row.class
  local form = class and CLASSES[class.name]
  if not form then
    return nil
  end
  local limit = class.limit and (" (ended at %s)"):format(text.format_duration(class.limit)) or ""
  return form:format(text.format_duration(math.floor(class.seconds))) .. limit
end

local function ending(row)
  local deadline = row.deadline
  if not deadline then
    return "never by moongate: no timeout applies"
  end
  local unless = (deadline.reason == "idle" or deadline.reason:find("^half")) and ", unless a byte moves before" or ""
  return ("by moongate in %s, reason %s%s"):format(
    text.format_duration(math.floor(deadline.seconds)), deadline.reason, unless)
end

---@param row table of the API's answer about connections
---@param width? integer
---@return string
function explain_text.connection(row, width)
  local old = row.version == "old" and "; the route has changed since, and the connection keeps what it has" or ""
  return tables.labelled({
    { "connection", row.id },
    { "client", ("%s port %d, to port %d"):format(row.client_ip, row.client_port, row.port) },
    { "domain", row.domain },
    { "route", row.route and ("%s (%s)%s"):format(row.route, where(row), old) or "none yet" },
    { "target", row.target },
    { "state", ("%s: %s"):format(row.state, STATES[row.state] or "") },
    { "trouble", trouble(row) },
    { "ended", row.ended and ("the %s's side has ended"):format(row.ended) or nil },
    { "age", text.format_duration(math.floor(row.age)) },
    { "quiet for", text.format_duration(math.floor(row.idle)) },
    { "bytes", ("%s in, %s out"):format(text.format_bytes(row.bytes_in), text.format_bytes(row.bytes_out)) },
    { "ends", ending(row) },
  }, width)
end

return explain_text
