-- SPDX-License-Identifier: MIT
--
-- The answer to what would become of a connection: native.ask("explain") says which routes there are, what became of
-- each, and what the corridor's own steps have said of clients on trial; here that gets its words, and its shape of the
-- API.

local json = require("moongate.json")
local native = require("moongate.native")
local reasons = require("moongate.explain.reasons")
local route_rows = require("moongate.route_rows")

local explain = {}

local LIMIT, SHOWN_ADDRESSES = 1000, 4
local SHOWN_FILES = 3 -- that are not live

-- TLS alerts (RFC 8446, section 6), by number.
local LEVELS = { "warning", "fatal" }
local ALERTS = {
  [0] = "close_notify", [10] = "unexpected_message", [22] = "record_overflow", [40] = "handshake_failure",
  [47] = "illegal_parameter", [49] = "access_denied", [50] = "decode_error", [70] = "protocol_version",
  [80] = "internal_error", [112] = "unrecognized_name", [116] = "certificate_required",
  [120] = "no_application_protocol",
}
local RECORD_ALERT = 21

-- What it is about a connection that this answers; nil: nothing that is said before.
local BECAUSE = { access_denied = "when", protocol_version = "tls_version", ["400"] = "http" }
local ORDER = { http = 1, when = 2, tls_version = 3 }

-- What a refused client reads: the kind of it and, of TLS, which alert.
local function answer_of(refusal)
  local bytes = refusal.answer
  if refusal.reset then
    return "reset"
  elseif not bytes then
    return "end"
  elseif bytes[1] == RECORD_ALERT and #bytes >= 7 then
    return (LEVELS[bytes[6]] or bytes[6]) .. " alert", ALERTS[bytes[7]] or tostring(bytes[7])
  end
  return string.char(unpack(bytes)):match("^HTTP/%d%.%d (%d%d%d)") or "bytes"
end

-- How one that no route takes is refused: what most is said of comes first, and the last is for all others.
local function refusals_of(trial)
  local list = {}
  for index, refusal in ipairs(trial.refusals or {}) do
    local answer, alert = answer_of(refusal)
    local because = BECAUSE[alert] or BECAUSE[answer]
    if refusal.reason == "client_hello" then
      alert = nil -- it depends on the bytes
    end
    list[index] = { because = because, answer = answer, alert = alert, reason = refusal.reason }
  end
  table.sort(list, function(a, b)
    return (ORDER[a.because] or 9) < (ORDER[b.because] or 9)
  end)
  return #list > 0 and list or nil
end

-- What keeps it out all the same: before there is a choice, or once it is clear which route it gets.
local function kept_out(body, trial)
  for _, refusal in ipairs(trial.kept_out or {}) do
    if not refusal.routed or (body.chosen == trial.route and body.depends == 0) then
      local found = {
        step = refusal.step,
        reason = refusal.reason,
        option = refusal.option,
        limit = refusal.limit,
        seconds = refusal.seconds,
      }
      if refusal.routed then
        found.route, found.file, found.line = trial.route, trial.file, trial.line
      end
      return found
    end
  end
end

-- Whose ip_block and ip_allow say who is let in, where it was not said who comes: "config", "route". nil: nobody's.
local function lists_of(body, trial)
  local found = {}
  for _, whose in ipairs(trial.lists or {}) do
    local counts = whose == "config" or body.chosen == trial.route and body.depends == 0
    found[#found + 1] = counts and whose or nil
  end
  return #found > 0 and found or nil
end

-- What is wrong with a word of the question.
local WRONG = {
  domain = "domain: expected a name of 1 to 255 characters",
  client_ip = 'client_ip: expected an address such as 192.0.2.7 or 2001:db8::1, got "%.64s"',
  address = 'address: expected an address such as 192.0.2.7 or 2001:db8::1, got "%.64s"',
  tls_version = 'tls_version: expected 1.0, 1.1, 1.2 or 1.3, got "%.32s"',
}

-- Of a running moongate: a file that would listen there may be one that is not live as it stands.
local function not_live()
  local names = {}
  for _, file in ipairs(native.ask("files")) do
    names[#names + 1] = not file.ok and file.file or nil
  end
  local more = #names > SHOWN_FILES and ", …" or ""
  return #names == 0 and ""
    or ("; not live as it stands is %s%s (moongate status says why)"):format(
      table.concat(names, ", ", 1, math.min(#names, SHOWN_FILES)), more)
end

-- Nothing takes a connection there; or it is not said where.
local function no_port(body, question)
  local ports, others = body.ports or {}, body.other_addresses
  if #ports == 0 then
    return "there is no live route, so nothing listens"
  elseif body.status == 400 then
    return ("which port? There are %d"):format(#ports)
  end
  return ("%s port %d%s%s%s"):format(
    question.offline and "no route of these files listens on" or "nothing listens on",
    question.port or -1,
    question.address and " of " .. question.address or "",
    others and ", only on " .. table.concat(others, ", ", 1, math.min(#others, SHOWN_ADDRESSES)) or "",
    question.offline and "" or not_live()
  )
end

local function refuse(body, question)
  local wrong = WRONG[body.error]
  if wrong then
    body.error = wrong:format(question[body.error])
  elseif body.error == "port" then
    body.error = no_port(body, question)
  end
  return body
end

local VERDICTS = { chosen = "chosen", when = "depends", outranked = "outranked" }

local function finish(row, body)
  row.reason, row.after = reasons.of(row, body), reasons.order(row)
  row.verdict = VERDICTS[row.clause] or "turned_down"
  row.clause = row.verdict ~= "chosen" and row.verdict ~= "outranked" and row.clause or nil
  row.open = row.open and true or nil
  row.by, row.before, row.matched = nil, nil, nil
end

---@param question table see runtime/reports/reports.h
---@return table answer of GET /api/v1/explain; or with `error`, `status` and `ports`
function explain.ask(question)
  question.limit = question.limit or LIMIT
  local body = native.ask("explain", question)
  if body.error then
    return refuse(body, question)
  end
  body.candidates = json.list(body.candidates)
  for _, row in ipairs(route_rows.shape_all(body.candidates)) do
    finish(row, body)
  end
  local trial = body.trial
  body.trial = nil
  body.refusals = refusals_of(trial)
  body.kept_out = kept_out(body, trial)
  if body.chosen == trial.route then
    body.authorize = trial.authorize and body.depends == 0 or nil
  end
  body.undecided = trial.undecided
  body.lists = lists_of(body, trial)
  return body
end

return explain
