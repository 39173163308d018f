-- SPDX-License-Identifier: MIT
--
-- The patterns in which connections pile up, for a snapshot: what is looked for by name at three in the morning. A
-- connection may show several. Each is what the workers are to count, and by what; what ends one is the business of its
-- class and of the timeouts. And the other ways in which a snapshot counts them.

local json = require("moongate.json")

local patterns = {}

local EXAMPLES = 20
local OVER = 5 -- nothing takes that long to be cleaned up
local QUIET = 10 -- from when on it is worth a look
local STATES = { "routing", "connecting", "forwarding", "handling", "idle", "closing" }
local AGES = { 1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600 }
local FUNCTION = "waits.route waits.function"
local WAYS = {
  by_target = "target", by_route = "route", by_client = "client_ip", by_port = "port", by_function = FUNCTION,
}

local function of_class(class, more)
  local where = { stuck = true, ["class.name"] = class }
  for name, value in pairs(more or {}) do
    where[name] = value
  end
  return { since = "class.seconds", where = where }
end

-- What a connection is that shows it, and which time says since when. `old`: diagnose.old in seconds.
local PATTERNS = {
  -- Both sides are over, and the record is still there.
  zombie = { since = "over", where = { ["over>="] = OVER } },
  -- One side has ended, and no byte moves.
  half_zombie = of_class("half_dead"),
  -- No target has answered yet.
  stuck_connecting = of_class("connecting", { asks = false }),
  -- It has no target yet, and nobody is choosing one: it has no route.
  no_outgoing = { since = "age", where = { state = "routing", asks = false, ["age>="] = QUIET } },
  -- It waits for a function of a route (when, authorize, a target's).
  ["function"] = { since = "waits.seconds", where = { asks = true, ["waits.seconds>="] = QUIET } },
  -- The target took it and has never answered what the client sent.
  stuck = of_class("stuck"),
  -- Quiet for diagnose.old, and kept by its keep_alive treatment.
  keep_alive_stuck = { since = "idle", old = "idle>=", where = { kept = true } },
  old = { since = "age", old = "age>=", where = {} },
  -- Forwarded or handled for a while, and no byte has come either way.
  no_data = { since = "age", where = { joined = true, bytes = 0, ["age>="] = QUIET } },
  -- A peer has been sent something, and nothing comes back.
  silent = of_class("silent"),
  -- A peer has been sent something and has not taken it, and no byte moves.
  unread = { since = "idle", where = { joined = true, ["unsent_bytes>="] = 1, ["idle>="] = QUIET } },
}

---What the workers are asked, see native.ask("groups").
---@param old number diagnose.old; 0: nothing is old
---@return table[]
function patterns.question(old)
  local list = {
    { name = "all", sort = "age", descending = true, by = { "state", WAYS.by_route, WAYS.by_client, WAYS.by_target } },
  }
  for _, age in ipairs(AGES) do
    list[#list + 1] = { name = "older_" .. age, sort = "age", where = { ["age>="] = age } }
  end
  for name, pattern in pairs(PATTERNS) do
    local where, by = {}, {}
    for field, value in pairs(pattern.where) do
      where[field] = value
    end
    for _, way in pairs(WAYS) do
      by[#by + 1] = way
    end
    if pattern.old then
      where[pattern.old] = old
    end
    if not pattern.old or old > 0 then
      list[#list + 1] =
        { name = name, where = where, sort = pattern.since, descending = true, limit = EXAMPLES, by = by }
    end
  end
  return list
end

-- `match.when of route site (routes/site.lua:12)`
local function name_of(row, way)
  if way ~= FUNCTION then
    return tostring(row[way])
  end
  local waits = row.waits
  return ("%s of route %s (%s)"):format(waits["function"], waits.route, waits.defined or waits.file)
end

-- The groups of one way, the largest first: each by its oldest.
local function groups(found, way)
  local list = {}
  for index, row in ipairs(found.by[way] or {}) do
    local group = { name = name_of(row, way), count = row.count, oldest = row.since }
    group.limit = row.class and row.class.limit
    if row.deadline then
      group.reason, group.ends = row.deadline.reason, row.deadline.seconds
    end
    list[index] = group
  end
  return json.list(list)
end

local function pattern_of(found)
  if not found or found.count == 0 then
    found = { count = 0, by = {} }
  end
  local pattern = { count = found.count, oldest = found.oldest, examples = json.list(found.examples) }
  for key, way in pairs(WAYS) do
    pattern[key] = groups(found, way)
  end
  return pattern
end

-- How many are younger than each bound, and not younger than the one before; the last: all the others.
local function ages(groupings, open)
  local list, left = {}, open
  for index, age in ipairs(AGES) do
    local older = groupings["older_" .. age].count
    list[index] = { below = age, count = left - older }
    left = older
  end
  list[#list + 1] = { count = left }
  return json.list(list)
end

---What a snapshot says of the connections, and of the patterns.
---@param answer table of native.ask("groups")
---@return table connections
---@return table patterns
function patterns.read(answer)
  local all, by_state, read = answer.groupings.all, {}, {}
  for _, state in ipairs(STATES) do
    by_state[state] = 0
  end
  for _, row in ipairs(all.by.state or {}) do
    by_state[row.state] = row.count
  end
  for name in pairs(PATTERNS) do
    read[name] = pattern_of(answer.groupings[name])
  end
  return {
    open = all.count,
    complete = answer.complete,
    by_state = by_state,
    by_route = groups(all, WAYS.by_route),
    by_client = groups(all, WAYS.by_client),
    by_target = groups(all, WAYS.by_target),
    ages = ages(answer.groupings, all.count),
  }, read
end

return patterns
