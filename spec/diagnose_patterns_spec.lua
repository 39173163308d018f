-- SPDX-License-Identifier: MIT
--
-- Which patterns a connection shows, by what the workers are asked to count, and what a snapshot says of the answer.

local patterns = require "moongate.diagnose.patterns"

local HOUR = 3600

local function field_of(row, name)
  local within, field = name:match "^(.-)%.(.+)$"
  if within then
    return row[within] and row[within][field]
  end
  return row[name]
end

-- As reports/selection_query.c takes it: a flag or a number that is not there is false, or 0.
local function passes(row, clause, wanted)
  local name = clause:match "^[^>]+"
  local value = field_of(row, name)
  if clause:find ">=" then
    return (value or 0) >= wanted
  elseif type(wanted) == "boolean" then
    return (value or false) == wanted
  elseif type(wanted) == "number" then
    return (value or 0) == wanted
  end
  return value == wanted
end

local function shown(row, old)
  local names = {}
  for _, grouping in ipairs(patterns.question(old or HOUR)) do
    local all = grouping.by and grouping.name ~= "all"
    for clause, wanted in pairs(grouping.where or {}) do
      all = all and passes(row, clause, wanted)
    end
    names[#names + 1] = all and grouping.name or nil
  end
  table.sort(names)
  return table.concat(names, " ")
end

describe("a pattern", function()
  it("is shown by no busy connection", function()
    assert.are.equal("", shown { state = "forwarding", joined = true, age = HOUR - 1, idle = 0.02, bytes = 12 })
  end)

  it("counts a class once it is suspect", function()
    local row = { state = "connecting", age = 12, idle = 12, class = { name = "connecting", seconds = 11 } }
    assert.are.equal("", shown(row))
    row.stuck = true
    assert.are.equal("stuck_connecting", shown(row))
    row.joined, row.bytes, row.idle = true, 1, 1
    for class, pattern in pairs { half_dead = "half_zombie", silent = "silent", stuck = "stuck" } do
      row.class.name = class
      assert.are.equal(pattern, shown(row))
    end
  end)

  it("is that of a zombie when it is over for a while", function()
    assert.are.equal("", shown { state = "closing", age = 60, idle = 60, over = 4.9 })
    assert.are.equal("zombie", shown { state = "closing", age = 60, idle = 60, over = 5 })
  end)

  it("is no_outgoing while it has no route, unless it waits for a function", function()
    assert.are.equal("", shown { state = "routing", age = 9.9 })
    assert.are.equal("no_outgoing", shown { state = "routing", age = 10 })
    local row = { state = "routing", age = 20, asks = true, waits = { seconds = 9.9 } }
    assert.are.equal("", shown(row))
    row.waits.seconds = 10
    assert.are.equal("function", shown(row))
    row.state, row.stuck, row.class = "connecting", true, { name = "connecting", seconds = 20 }
    assert.are.equal("function", shown(row))
  end)

  it("is no_data when no byte has come either way, unread when a peer does not take what it was sent", function()
    assert.are.equal("no_data", shown { state = "handling", joined = true, age = 10 })
    assert.are.equal("", shown { state = "handling", joined = true, age = 10, bytes = 1 })
    local row = { state = "forwarding", joined = true, age = 60, idle = 10, bytes = 2, unsent_bytes = 1 }
    assert.are.equal("unread", shown(row))
    row.idle = 9.9
    assert.are.equal("", shown(row))
  end)

  it("is old, and kept by keep_alive when that is not standard", function()
    local row = { state = "forwarding", joined = true, route = "a", age = HOUR, idle = HOUR, bytes = 2 }
    assert.are.equal("old", shown(row))
    row.kept = true
    assert.are.equal("keep_alive_stuck old", shown(row))
    row.idle = HOUR - 1
    assert.are.equal("old", shown(row))
    assert.are.equal("", shown(row, 0))
  end)
end)

describe("what a snapshot says of connections", function()
  it("has all states and patterns, ages that come to the sum, and groups by their names", function()
    local answer = { complete = true, groupings = { all = { count = 5, by = {
      state = { { count = 4, state = "handling" }, { count = 1, state = "routing" } },
      route = { { count = 4, since = 70, route = "site", class = { limit = 30 },
        deadline = { reason = "idle", seconds = 12 } } },
      client_ip = { { count = 5, since = 70, client_ip = "192.0.2.7" } },
    } } } }
    for _, grouping in ipairs(patterns.question(HOUR)) do
      answer.groupings[grouping.name] = answer.groupings[grouping.name] or { count = 0 }
    end
    answer.groupings.older_1.count, answer.groupings.older_60.count = 3, 1
    answer.groupings.older_10.count = 2
    answer.groupings["function"] = { count = 1, oldest = 21, examples = { { id = "1-1" } }, by = {
      ["waits.route waits.function"] = { { count = 1, since = 21, waits = { ["function"] = "match.when", route = "site",
        file = "site.lua", defined = "routes/site.lua:3" } } } } }
    local connections, read = patterns.read(answer)
    assert.are.same({ routing = 1, connecting = 0, forwarding = 0, handling = 4, idle = 0, closing = 0 },
      connections.by_state)
    assert.are.same({ { name = "site", count = 4, oldest = 70, limit = 30, reason = "idle", ends = 12 } },
      connections.by_route)
    assert.are.same({ {}, 5 }, { connections.by_target, connections.open })
    local counts = {}
    for index, age in ipairs(connections.ages) do
      counts[index] = age.count
    end
    assert.are.same({ 2, 1, 1, 1, 0, 0, 0, 0 }, counts)
    assert.are.same({ { name = "match.when of route site (routes/site.lua:3)", count = 1, oldest = 21 } },
      read["function"].by_function)
    assert.are.same({ 21, 1 }, { read["function"].oldest, #read["function"].examples })
    assert.are.same({ 0, {} }, { read.zombie.count, read.zombie.by_target })
  end)
end)
