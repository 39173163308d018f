-- SPDX-License-Identifier: MIT
--
-- What a snapshot says that one should look at.

local findings = require "moongate.diagnose.findings"

-- A snapshot in which nothing stands out, with what is given in the place of its own.
local function snapshot(values)
  local base = {
    config = {
      limits = { connections = 0 },
      timeouts = { initial_data = 60, connect = 30 },
      diagnose = { old = 3600 },
    },
    connections = { open = 2, by_route = {}, by_client = {}, by_target = {} },
    patterns = {},
    workers = { { number = 1, answered = true, lag = 0.0001, worst_lag = 0.004 } },
    descriptors = { used = 40, limit = 1024 },
    since_last = { seconds = 60, terminations = { client = { ended = 7 }, target = { closed = 7 } }, errors = {} },
    trend = { { ago = 5, open = 2 } },
    faulty_files = {},
    reload = { old_connections = 0 },
  }
  for key, value in pairs(values or {}) do
    base[key] = value
  end
  return base
end

local function pattern(name, count, oldest, groups)
  local one = { count = count, oldest = oldest, by_target = {}, by_route = {}, by_client = {}, by_port = {} }
  for key, list in pairs(groups) do
    one[key] = list
  end
  return { [name] = one }
end

describe("the findings of a snapshot", function()
  it("are none when nothing stands out", function()
    assert.are.same({}, findings.of(snapshot()))
  end)

  it("name the target that does not answer, how many wait, since when and until when", function()
    local found = findings.of(snapshot {
      patterns = pattern("stuck_connecting", 312, 29, {
        by_target = { { name = "10.0.0.5:80", count = 312, oldest = 29, limit = 30 } },
      }),
    })
    assert.are.equal(1, #found)
    assert.are.same({ "problem", "stuck_connecting" }, { found[1].severity, found[1].about })
    assert.truthy(found[1].text:find("312 connections wait for 10.0.0.5:80 to accept", 1, true), found[1].text)
    assert.truthy(found[1].text:find("the oldest for 29s; timeouts.connect is 30s", 1, true), found[1].text)
    assert.are.equal("moongate conns --stuck --target 10.0.0.5:80", found[1].command)
  end)

  it("say what an engine reports of what is live", function()
    local found = findings.of(snapshot {
      faulty_files = { { file = "k.lua", state = "impaired", faults = 1 } },
      engine = { name = "nftables", faults = { { message = "another table drops all" } } },
    })
    assert.are.same({ "problem", "files" }, { found[1].severity, found[1].about })
    assert.are.equal("an engine reports 1 fault of what is live of route file k.lua", found[1].text)
    assert.are.same({ "problem", "engine" }, { found[2].severity, found[2].about })
    assert.are.equal("the engine nftables: another table drops all", found[2].text)
  end)

  it("send who has a file that waits for a port to the status, for check binds nothing", function()
    local found = findings.of(snapshot {
      faulty_files = {
        { file = "a.lua", state = "absent", waits = true, faults = 1 },
        { file = "b.lua", state = "absent", faults = 1 },
      },
    })
    assert.are.same({ "moongate status", "moongate check" }, { found[1].command, found[2].command })
  end)

  it("say where nothing would end it", function()
    local found = findings.of(snapshot {
      patterns = pattern("stuck", 1, 700, { by_target = { { name = "a:80", count = 1, oldest = 700 } } }),
    })
    assert.truthy(found[1].text:find("timeouts.stuck is off, so nothing ends them", 1, true), found[1].text)
  end)

  it("quote what goes into a command", function()
    local found = findings.of(snapshot {
      patterns = pattern("half_zombie", 2, 20, {
        by_route = { { name = "it's $(mine)", count = 2, oldest = 20, limit = 30 } },
      }),
    })
    assert.are.equal([[moongate conns --stuck --route 'it'\''s $(mine)']], found[1].command)
  end)

  it("name a worker that does not answer, and one that is late", function()
    local found = findings.of(snapshot {
      workers = {
        { number = 1, answered = true, lag = 0.001, worst_lag = 0.35 },
        { number = 2, answered = false, lag = 12, worst_lag = 12 },
      },
      stuck = { { number = 2, seconds = 12, route = "site", file = "site.lua" } },
    })
    assert.truthy(found[1].text:find("worker 1 was late by up to 350 ms", 1, true), found[1].text)
    assert.truthy(found[2].text:find("worker 2 has not answered for 12s", 1, true), found[2].text)
    assert.truthy(found[2].text:find("hangs in a function of site.lua, route site", 1, true), found[2].text)
  end)

  it("say of a stuck worker what status says, also when it was not asked", function()
    local stuck = { number = 1, seconds = 4.02, route = "site", file = "site.lua", kernel = "pipe_wait" }
    local worker = { number = 1, answered = false, lag = 0.0003, worst_lag = 0.0003 }
    local text = findings.of(snapshot { workers = { worker }, stuck = { stuck } })[1].text
    assert.are.equal("worker 1 has not answered for 4s: all of its connections wait until it goes on, and are not "
      .. "counted here; it hangs in a function of site.lua, route site (in the kernel: pipe_wait)", text)
    stuck.route, stuck.file = nil, nil
    text = findings.of(snapshot { workers = { worker }, stuck = { stuck } })[1].text
    assert.truthy(text:find("it hangs in a call that does not return (in the kernel: pipe_wait)", 1, true), text)
  end)

  it("tell when descriptors or the cap run out", function()
    local found = findings.of(snapshot {
      descriptors = { used = 900, limit = 1024 },
      config = {
        limits = { connections = 100, idle_near_cap = 30 }, timeouts = { initial_data = 60 }, diagnose = { old = 3600 },
      },
      connections = { open = 95, by_route = {}, by_client = {}, by_target = {} },
      trend = { { ago = 5, open = 94 } },
    })
    assert.are.equal(2, #found)
    assert.truthy(found[1].text:find("900 of 1024 descriptors", 1, true), found[1].text)
    assert.truthy(found[2].text:find("limits.connections is 100: those that are quiet for 30s are closed early", 1,
      true), found[2].text)
    local config = { limits = { connections = 100, idle_near_cap = 0 }, timeouts = {}, diagnose = { old = 3600 } }
    for open, says in pairs { [95] = "beyond that new ones are refused", [100] = "100: new ones are refused" } do
      local connections = { open = open, by_route = {}, by_client = {}, by_target = {} }
      found = findings.of(snapshot { config = config, connections = connections, trend = {} })
      assert.truthy(found[1].text:find(says, 1, true), found[1].text)
    end
  end)

  it("tell a target that does not answer from connections on which nobody has said anything", function()
    local text = findings.of(snapshot {
      patterns = pattern("stuck", 2, 20, { by_target = { { name = "a:80", count = 2, oldest = 20, limit = 60 } } }),
    })[1].text
    assert.are.equal("2 connections were taken by a:80, which has never answered what the client has sent: it accepts, "
      .. "and hangs or is overloaded; quiet for up to 20s; timeouts.stuck is 1m", text)
    local found = findings.of(snapshot {
      patterns = pattern("no_data", 3, 90, { by_route = { { name = "pool", count = 3, oldest = 90 } } }),
    })[1]
    assert.are.same({ "note", "no_data" }, { found.severity, found.about })
    assert.truthy(found.text:find("most are of route pool: pools that connect ahead of need", 1, true), found.text)
  end)

  it("name the route whose peers do not read", function()
    local patterns = pattern("unread", 2, 44, {
      by_route = { { name = "feed", count = 2, oldest = 44, ends = 14356, reason = "idle" } },
      by_client = { { name = "192.0.2.7", count = 2 } },
    })
    local config = { limits = { connections = 0 }, timeouts = { idle = 14400 }, diagnose = { old = 3600 } }
    local text = findings.of(snapshot { patterns = patterns, config = config })[1].text
    assert.are.equal("2 connections of route feed have been sent what is not taken, for up to 44s: a peer does not "
      .. "read, or is gone without a word, all of them from 192.0.2.7; the oldest is ended in 3h 59m, reason idle",
      text)
    patterns.unread.by_route[1].ends = nil
    text = findings.of(snapshot { patterns = patterns })[1].text
    assert.truthy(text:find("; nothing ends them", 1, true), text)
  end)

  it("name the route whose peers are gone, and what ends them", function()
    local text = findings.of(snapshot {
      patterns = pattern("silent", 1, 44, {
        by_route = { { name = "feed", count = 1, oldest = 44, limit = 120, ends = 76, reason = "reset" } },
        by_client = {},
      }),
    })[1].text
    assert.truthy(text:find("^1 connection of route feed has a peer that acknowledges nothing"), text)
    assert.truthy(text:find("the oldest for 44s; tcp.unacknowledged is 2m", 1, true), text)
  end)

  it("name the bound of a side that has reset, where the other does not take what came before", function()
    local text = findings.of(snapshot {
      patterns = pattern("half_zombie", 1, 44, {
        by_route = { { name = "feed", count = 1, oldest = 44, limit = 60, ends = 16, reason = "reset" } },
      }),
    })[1].text
    assert.truthy(text:find("timeouts.linger is 1m", 1, true), text)
  end)

  it("tell refusals, and that moongate is stopping", function()
    local found = findings.of(snapshot {
      drain = { seconds = 6.3 },
      since_last = { seconds = 60, terminations = { client = { proxy_header = 2, not_allowed = 1 } }, errors = {} },
    })
    assert.truthy(found[1].text:find("1 connection has ended as not_allowed in the last 1m", 1, true), found[1].text)
    assert.truthy(found[2].text:find("2 connections have ended as proxy_header", 1, true), found[2].text)
    assert.are.equal("moongate is stopping: what is still open is ended in 7s", found[3].text)
  end)

  it("tell growth against the history, and whose it is", function()
    local found = findings.of(snapshot {
      connections = {
        open = 400,
        by_route = { { name = "site", count = 390 } },
        by_client = { { name = "192.0.2.7", count = 350 } },
        by_target = {},
      },
      trend = { { ago = 300, open = 20 }, { ago = 5, open = 380 } },
    })
    local wanted = "grown from 20 to 400 in 5m; 390 are of route site; 350 are from 192.0.2.7"
    assert.truthy(found[1].text:find(wanted, 1, true), found[1].text)
  end)

  it("put problems before notes", function()
    local found = findings.of(snapshot {
      since_last = { seconds = 60, terminations = { client = {}, target = { refused = 3 } }, errors = {} },
      descriptors = { used = 1000, limit = 1024 },
    })
    assert.are.same({ "problem", "note" }, { found[1].severity, found[2].severity })
    assert.truthy(found[2].text:find("3 connections have ended as refused in the last 1m", 1, true), found[2].text)
  end)
end)
