-- SPDX-License-Identifier: MIT
--
-- The answer to what would become of a connection: native.explain says which routes there are, what became of each, and
-- what the corridor's own steps have said of clients on trial; here that gets its words, and its shape of the API.

local json = require("moongate.json")
local native = require("moongate.native")
local reasons = require("moongate.explain.reasons")
local route_rows = require("moongate.route_rows")

local explain = {}

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

local VERDICTS = { chosen = "chosen", when = "depends", outranked = "outranked" }

local function finish(row, body)
  row.reason, row.after = reasons.of(row, body), reasons.order(row)
  row.verdict = VERDICTS[row.clause] or "turned_down"
  row.clause = row.verdict ~= "chosen" and row.verdict ~= "outranked" and row.clause or nil
  row.open = row.open and true or nil
  row.by, row.before, row.matched = nil, nil, nil
end

---@param question table see native_ops.explain
---@return table answer of GET /api/v1/explain; or with `error`, `status` and `ports`
function explain.ask(question)
  local body = native.explain(question)
  if body.error then
    return body
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
  return body
end

return explain
