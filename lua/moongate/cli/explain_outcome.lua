-- SPDX-License-Identifier: MIT
--
-- What `moongate explain` says becomes of a connection: the route that it gets, or how it is refused; and, where that
-- hangs on what was not said, what each case gives.

local reasons = require("moongate.explain.reasons")
local routes = require("moongate.cli.routes")
local tables = require("moongate.cli.table")

local explain_outcome = {}

local SHOWN_CASES = 12
local VERSIONS = { "1.0", "1.1", "1.2", "1.3" }

---"site.lua:3": where a route stands.
function explain_outcome.where(row)
  return row.line > 0 and ("%s:%d"):format(row.file, row.line) or row.file
end

-- "A TLS connection to port 443 for "b.example.com" from 192.0.2.7".
local function subject(body, question)
  local looks_at_tls = body.takes ~= "plain"
  local address = body.address or question.address
  local only = body.address and not (question.address or body.other_addresses) and ", its only address," or ""
  local kind = not looks_at_tls and "" or body.tls and "TLS " or "plain "
  local parts = { ("%sconnection to port %d%s"):format(kind, body.port, address and " of " .. address .. only or "") }
  if body.domain then
    parts[#parts + 1] = ('for "%s"'):format(body.domain)
  elseif looks_at_tls and body.tls then
    parts[#parts + 1] = "that names no domain"
    if question.address and not question.is_there then
      parts[#parts + 1] = ("(%s is an address: it counts as no name)"):format(question.address)
    end
  end
  if body.client_ip then
    parts[#parts + 1] = "from " .. body.client_ip
  end
  if body.tls_version then
    local joint = parts[2] == "that names no domain" and "and" or "that"
    parts[#parts + 1] = ("%s offers TLS %s at most"):format(joint, body.tls_version)
  end
  return table.concat(parts, " ")
end

local function action_of(row, port)
  local action = row.action
  if action.type == "handler" then
    return "its handler answers"
  elseif action.target_function then
    return "forwarded to where its target function says"
  end
  local tls = action.tls == "passthrough" and ", TLS passed through" or ""
  local failed = routes.failed(action)
  return "forwarded to " .. routes.action(action, port):gsub(",", " or ") .. tls .. (failed and "; " .. failed or "")
end

local function by_name(body)
  local found = {}
  for _, row in ipairs(body.candidates) do
    found[row.name] = row
  end
  return found
end

-- "route "a" (a.lua:1), forwarded to …"; of one that --limit leaves out, its name.
local function case_text(row, one, port)
  local when = one.when and " if its `when` says yes" or ""
  if not row then
    return ('route "%s"%s'):format(one.route, when)
  end
  return ('route "%s" (%s)%s, %s'):format(one.route, explain_outcome.where(row), when, action_of(row, port))
end

local BECAUSE = {
  when = "where a `when` says no",
  tls_version = "where only the TLS version does not fit",
}

-- What becomes of a connection that no route takes.
local function refusal(body, question)
  local parts, list = {}, body.refusals or {}
  if body.undecided then
    return ("what becomes of it the step %s decides, which explain does not run"):format(body.undecided)
  elseif #list == 0 then
    return "it is refused"
  elseif list[1].answer == "reset" then
    return "it is reset (counted as " .. list[1].reason .. ")"
  elseif list[1].because == "http" then
    local http = ("answered with HTTP status 400 (counted as %s)"):format(list[1].reason)
    return question.tls == false and not question.is_there and "the request is " .. http
      or ("an HTTP request is %s, anything else with a TLS alert (%s)"):format(http, list[2].reason)
  elseif #list == 1 and not list[1].alert then
    return ("it is closed (counted as %s)"):format(list[1].reason)
  elseif #list == 1 then
    return ("it gets the TLS alert %s and is closed (counted as %s)"):format(list[1].alert, list[1].reason)
  end
  for i, one in ipairs(list) do
    parts[i] = ("%s (counted as %s) %s"):format(one.alert or one.answer, one.reason, BECAUSE[one.because] or "else")
  end
  return "it gets a TLS alert and is closed: " .. table.concat(parts, ", ")
end

-- Which clients and versions each case is for. While nothing but versions decides, those that are taken are left out
-- of the cases behind, and the last one has the rest.
local function conditions(body)
  local texts, left, versions_only, any_when = {}, {}, true, false
  for _, one in ipairs(body.cases) do
    versions_only = versions_only and not (one.client_ip or one.when)
    any_when = any_when or one.when
  end
  for _, version in ipairs(VERSIONS) do
    left[version] = true
  end
  local function take(versions)
    local free = {}
    for _, version in ipairs(versions) do
      free[#free + 1] = left[version] and version or nil
      left[version] = not versions_only and left[version] or nil
    end
    return reasons.alternatives(free, "%s")
  end
  for i, one in ipairs(body.cases) do
    local parts = {}
    parts[1] = one.client_ip and "from " .. reasons.alternatives(one.client_ip, '"%s"') or nil
    parts[#parts + 1] = one.tls_version and ("if its highest is TLS %s"):format(take(one.tls_version)) or nil
    if #parts == 0 and one.when then
      parts[1] = "whatever it is"
    elseif #parts == 0 then
      local only = #body.open == 1 and not any_when and body.open[1]
      parts[1] = versions_only and ("if its highest is TLS %s"):format(take(VERSIONS))
        or only == "client_ip" and "from anywhere else"
        or "otherwise"
    end
    texts[i] = table.concat(parts, " ")
  end
  return texts
end

local OPEN = {
  client_ip = { "the client's address", "--client IP" },
  tls_version = { "the highest TLS version that the client offers", "--tls-version V" },
}

-- "Which route a connection gets depends on …:"
local function headline(body, question)
  local what, how, overlap = {}, {}, #body.open > 1
  for i, field in ipairs(body.open) do
    what[i], how[i] = OPEN[field][1], OPEN[field][2]
  end
  for i, one in ipairs(body.cases) do
    overlap = overlap or one.when or (one.client_ip and i > 1)
  end
  return ("Which route a %s gets%s depends on %s, which %s not said (%s)%s:"):format(
    subject(body, question),
    body.cases[#body.cases].refused and ", if any," or "",
    table.concat(what, " and "),
    #what > 1 and "were" or "was",
    table.concat(how, ", "),
    overlap and ". The first of these that fits" or ""
  )
end

local function cases(body, question, width)
  local lines = { tables.paragraph(headline(body, question), "", "", width) }
  local rows, texts = by_name(body), conditions(body)
  local hidden = (body.omitted_cases or 0) + math.max(0, #body.cases - SHOWN_CASES)
  for i, one in ipairs(body.cases) do
    local gets = one.refused and "no route; " .. refusal(body, question) or case_text(rows[one.route], one, body.port)
    if i == #body.cases and hidden > 0 then
      local more = ("- and %d more, by the routes marked ? below"):format(hidden)
      lines[#lines + 1] = tables.paragraph(more, "  ", "    ", width)
    end
    if i < SHOWN_CASES or i == #body.cases then
      lines[#lines + 1] = tables.paragraph(("%s: %s"):format(texts[i], gets), "  - ", "    ", width)
    end
  end
  return table.concat(lines)
end

-- Where a `when` has the last word: what each yes gives, and what is left.
local function by_whens(body, question, whens, chosen, width)
  local lines = {}
  local form = "Which route a %s gets%s is decided by `when`, %s explain does not run:"
  lines[1] = tables.paragraph(form:format(subject(body, question), chosen and "" or ", if any,",
    body.depends > 1 and "functions that" or "a function that"), "", "", width)
  for i, row in ipairs(whens) do
    local text = ('%s the `when` of route "%s" (%s) says yes: %s'):format(i > 1 and "else, if" or "if", row.name,
      explain_outcome.where(row), action_of(row, body.port))
    lines[#lines + 1] = tables.paragraph(text, "  - ", "    ", width)
  end
  local more = body.depends - #whens
  if more > 0 then
    local rest = ("and so on: %d more (--limit N shows them)"):format(more)
    lines[#lines + 1] = tables.paragraph(rest, "  - ", "    ", width)
  end
  local last = chosen and case_text(chosen, { route = chosen.name }, body.port)
    or "no route; " .. refusal(body, question)
  lines[#lines + 1] = tables.paragraph("else: " .. last, "  - ", "    ", width)
  return table.concat(lines)
end

---What becomes of the connection.
---@param body table of the API's answer
---@param question table what was asked
---@param is_assumed boolean something was taken for granted
---@param width? integer
---@return string lines
function explain_outcome.text(body, question, is_assumed, width)
  if body.open then
    return cases(body, question, width)
  end
  local chosen, whens = nil, {}
  for _, row in ipairs(body.candidates) do
    if row.verdict == "chosen" then
      chosen = row
    elseif row.verdict == "depends" then
      whens[#whens + 1] = row
    end
  end
  if #whens > 0 then
    return by_whens(body, question, whens, chosen, width)
  end
  local gets = is_assumed and "would get" or "gets"
  local otherwise = ("%s no route: %s"):format(gets, refusal(body, question))
  if chosen then
    local does = (chosen.action.type == "handler" and "" or "it is ") .. action_of(chosen, body.port)
    otherwise = ('%s route "%s" (%s): %s'):format(gets, chosen.name, explain_outcome.where(chosen), does)
  end
  return tables.paragraph(("A %s %s."):format(subject(body, question), otherwise), "", "", width)
end

return explain_outcome
