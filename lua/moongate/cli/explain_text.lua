-- SPDX-License-Identifier: MIT
--
-- The words in which `moongate explain` answers about a choice: what it took for granted; the outcome, or what each
-- case gives where it hangs on what was not said; then the routes, those that match in the order in which they are
-- checked, each of the others with the clause that turned it down.

local assumed = require("moongate.cli.explain_assumed")
local outcomes = require("moongate.cli.explain_outcome")
local routes = require("moongate.cli.routes")
local tables = require("moongate.cli.table")
local text = require("moongate.text")

local explain_text = {}

local SHOWN_PORTS = 20

---The ports that may be asked about, as what stands behind an error: " (there are 80, 443 and 12 more)".
---@param ports integer[]|nil
---@param is_said boolean? that the question named a port
---@return string
function explain_text.ports(ports, is_said)
  if not ports or #ports == 0 then
    return ""
  end
  local shown = { unpack(ports, 1, math.min(#ports, SHOWN_PORTS)) }
  local more = #ports > #shown and (" and %d more"):format(#ports - #shown) or ""
  local listed = routes.ports(shown):gsub(",", ", ") .. more
  return is_said and (" (the ports are %s)"):format(listed) or (": %s (--port N says which)"):format(listed)
end

local MARKS = { chosen = "YES", depends = "when", outranked = "-", turned_down = "no" }

local function is_open(row)
  return row.open and row.verdict ~= "outranked"
end

-- What the one that is checked next has less of.
local BY = {
  priority = "its priority",
  address = "the address that it is bound to",
  domains = "its domain",
  client_ip = "its client_ip",
  tls_version = "its tls_version",
  ["file order"] = "its place in the files",
}

-- `next`: the row behind this one.
local function reason_of(row, next)
  local reason = row.reason or ""
  if row.verdict == "turned_down" and row.clause then
    reason = row.clause .. ": " .. reason
  elseif row.verdict == "outranked" then
    local by = reason:match("^matches (by .*)$")
    reason = ("%s match too%s, but is not reached"):format(row.open and "may" or "would", by and " " .. by or
      " (" .. reason .. ")")
  elseif row.verdict == "chosen" and next and next.after then
    reason = ('%s; wins over "%s" by %s'):format(reason, next.name, BY[next.after.by])
  end
  -- Where only the version is open, one fits at most: which is checked first makes no difference.
  if row.after and not (is_open(row) and row.after.by == "file order") then
    reason = reason .. "; " .. row.after.reason
  end
  return reason
end

-- `doubted`: one before it may get the connection.
local function candidate(row, next, doubted, width)
  local priority = row.priority ~= 0 and (", priority %d"):format(row.priority) or ""
  local verdict = is_open(row) and "?" or row.verdict == "chosen" and doubted and "else" or MARKS[row.verdict]
  local mark = ("  %-4s  "):format(verdict or row.verdict)
  return tables.paragraph(("%s (%s%s)"):format(row.name, outcomes.where(row), priority), mark, "        ", width)
    .. tables.paragraph(reason_of(row, next), "        ", "        ", width)
end

-- What the list of routes is headed by: its order, as far as there is one.
local function heading(body)
  local asked, open, others = false, false, false
  for clause in pairs(body.omitted or {}) do
    local matches = clause == "outranked" or clause == "when"
    asked, others = asked or matches, others or not (matches or clause == "open")
  end
  for _, row in ipairs(body.candidates) do
    open = open or is_open(row)
    others = others or (row.verdict == "turned_down" and not row.open)
    asked = asked or row.verdict ~= "turned_down"
  end
  if not (asked or open) then
    return "The routes of port %d, none of which matches:"
  elseif not others then
    return "The routes of port %d, in the order in which they are checked:"
  end
  return "The routes of port %d: first those that "
    .. (open and (asked and "match or may match" or "may match") or "match")
    .. ", in the order in which they are checked, then the others:"
end

-- "4,812 more were turned down by domains".
local function omitted(body, width)
  local names, parts = {}, {}
  for name in pairs(body.omitted or {}) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local how = name == "outranked" and "would match too"
      or name == "open" and "may match"
      or name == "when" and "asked by their `when`"
      or "turned down by " .. name
    parts[#parts + 1] = ("%d %s"):format(body.omitted[name], how)
  end
  if #parts == 0 then
    return ""
  end
  return tables.paragraph(("and more: %s (--limit N shows them)"):format(table.concat(parts, ", ")), "  ", "  ", width)
end

-- What was not written as it is compared.
local function written_otherwise(body)
  return ('Compared as "%s": case and a final dot make no difference.'):format(body.domain)
end

-- Why it is refused all the same, with the option's number.
local FULL = {
  limit_connections = "as many connections as %s allows (%d) are open",
  limit_route = "as many connections as %s allows (%d) are open on its route",
  limit_ip = "%s is %d, and its address has as many open",
  limit_rate = "%s is %d, and its address has opened as many in that time",
}

-- What keeps the client out, whatever route it would get.
local function kept_out(body)
  local why, who = body.kept_out, body.client_ip or "it"
  local form = FULL[why.reason]
  if why.seconds then
    return ("But %s is refused for another %s: it was over a limit (%s), reason %s."):format(
      who, text.format_duration(math.ceil(why.seconds)), why.option, why.reason)
  elseif form and why.limit then
    return ("But %s is refused: %s, reason %s."):format(who, form:format(why.option, why.limit), why.reason)
  end
  local whose = why.route and ('route "%s" (%s)'):format(why.route, outcomes.where(why)) or "the config"
  return ("But %s of %s keeps %s out, reason %s."):format(why.option or why.step, whose, who, why.reason)
end

-- What has the next word, and is not run.
local function next_words(body)
  local words = {}
  if body.lists and body.chosen then
    local own = body.lists[#body.lists] == "route" and ('route "%s"'):format(body.chosen)
    local whose = #body.lists == 1 and (own or "the config") or "the config and of " .. own
    words[1] = ("Unless ip_block or ip_allow of %s keeps the client out: --client IP asks them."):format(whose)
  end
  if body.authorize then
    words[#words + 1] = ('Then the `authorize` of route "%s" decides, which explain does not run.'):format(body.chosen)
  end
  if body.undecided and body.chosen then
    words[#words + 1] = ("Then the step %s decides, which explain does not run."):format(body.undecided)
  end
  return words
end

---@param body table of the API's answer
---@param question table what was asked
---@param width? integer
---@return string
function explain_text.choice(body, question, width)
  local lines = {}
  local function say(words, before)
    lines[#lines + 1] = tables.paragraph(words, before, "", width)
  end
  local taken = assumed(body, question)
  for _, sentence in ipairs(taken) do
    say(sentence)
  end
  lines[#lines + 1] = outcomes.text(body, question, #taken > 0, width)
  if body.kept_out then
    say(kept_out(body))
  else
    for _, sentence in ipairs(next_words(body)) do
      say(sentence)
    end
  end
  if question.domain and body.domain ~= question.domain and not question.domain:find("[\128-\255]") then
    say(written_otherwise(body))
  end
  for _, row in ipairs(body.candidates) do
    if row.name == question.domain then
      local words = '"%s" is taken for a domain; of the route of that name tells: moongate routes %s'
      say(words:format(row.name, row.name))
    end
  end
  if #body.candidates == 0 then
    return table.concat(lines)
  end
  say(heading(body):format(body.port), "\n")
  local doubted = false
  for i, row in ipairs(body.candidates) do
    lines[#lines + 1] = candidate(row, body.candidates[i + 1], doubted, width)
    doubted = doubted or is_open(row) or row.verdict == "depends"
  end
  lines[#lines + 1] = omitted(body, width)
  if question.path then
    say(("Note: the path %s plays no part in the choice of these routes."):format(question.path), "\n")
  end
  return table.concat(lines)
end

return explain_text
