-- SPDX-License-Identifier: MIT
--
-- What `moongate explain` says of a connection that is there: who, where to, in what trouble, and what will end it.

local outcomes = require("moongate.cli.explain_outcome")
local tables = require("moongate.cli.table")
local text = require("moongate.text")

local STATES = {
  routing = "its route is not known yet: what the choice needs has not arrived",
  connecting = "its target is being connected to",
  forwarding = "the client and the target are joined",
  handling = "its handler runs",
  closing = "all is sent, and the client has not ended yet",
}

local CLASSES = {
  connecting = "no target has answered for %s",
  silent = "silent: a peer has been sent bytes, and nothing has come back, not even an ACK, for %s",
  half_dead = "half dead: one side has ended, and no byte has moved for %s",
  stuck = "the target has never answered what the client has sent, and no byte has moved for %s",
  unread = "a side does not take what it has been sent, and no byte has moved for %s",
}

-- What a byte that moves puts off.
local FOR_QUIET = { idle = true, stuck = true, half_dead = true, half_closed = true, reset = true }

-- What the state means: who has to do something before it goes on.
local function state(row)
  local waits = row.waits
  if not waits then
    return ("%s: %s"):format(row.state, STATES[row.state] or "")
  end
  local place = waits.defined or ("%s:%d"):format(waits.file, waits.line)
  return ("%s: %s of route %s (%s) has been asked, and has not answered for %s"):format(
    row.state, waits["function"], waits.route, place, text.format_duration(math.floor(waits.seconds)))
end

local function trouble(row)
  local class = row.class
  if class and class.name == "connecting" and row.waits then
    return nil -- no target has been asked
  end
  local form = class and CLASSES[class.name]
  if not form then
    return nil
  end
  local limit = class.limit and (" (ended at %s)"):format(text.format_duration(class.limit)) or ""
  return form:format(text.format_duration(math.floor(class.seconds))) .. limit
end

-- "3.7 MiB wait for the client to take them"
local function unsent(row)
  local parts = {}
  for _, side in ipairs({ "client", "target" }) do
    local bytes = (row.unsent or {})[side]
    parts[#parts + 1] = bytes and ("%s wait for the %s to take them"):format(text.format_bytes(bytes), side) or nil
  end
  return #parts > 0 and table.concat(parts, ", ") or nil
end

local function ending(row)
  local deadline = row.deadline
  if not deadline then
    return "never by moongate: no timeout applies"
  end
  local unless = FOR_QUIET[deadline.reason] and ", unless a byte moves before" or ""
  if deadline.reason == "reset" and row.class and row.class.name == "silent" then
    unless = ", unless the peer answers before"
  end
  return ("by moongate in %s, reason %s%s"):format(
    text.format_duration(math.floor(deadline.seconds)), deadline.reason, unless)
end

---@param row table of the API's answer about connections
---@param width? integer
---@return string
local function explain_connection(row, width)
  local address = row.local_address and " of " .. row.local_address or ""
  local old = row.version == "old" and "; the route has changed since, and the connection keeps what it has" or ""
  return tables.labelled({
    { "connection", row.id },
    { "client", ("%s port %d, to port %d%s"):format(row.client_ip, row.client_port, row.port, address) },
    { "domain", row.domain },
    { "route", row.route and ("%s (%s)%s"):format(row.route, outcomes.where(row), old) or "none yet" },
    { "target", row.target },
    { "trying", row.trying },
    { "state", state(row) },
    { row.stuck and "trouble" or "so far", trouble(row) }, -- most get over it within a moment
    { "ended", row.ended and ("the %s's side has ended"):format(row.ended) or nil },
    { "age", text.format_duration(math.floor(row.age)) },
    { "quiet for", text.format_duration(math.floor(row.idle)) },
    { "bytes", ("%s in, %s out"):format(text.format_bytes(row.bytes_in), text.format_bytes(row.bytes_out)) },
    { "unsent", unsent(row) },
    { "ends", ending(row) },
  }, width)
end

return explain_connection
