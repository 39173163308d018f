-- SPDX-License-Identifier: MIT
--
-- Old versions of files: how many may live on, when they go, and what tells a file that a swap has been.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("old versions of files", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  it("past limits.old_versions lose their connections, the oldest first", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }, {
      workers = 2,
      config = "limits = { old_versions = 3 }",
    })
    -- Live with both workers: a connection that the slower of two takes would hold the version before.
    local function save(version)
      m:write("a.lua", counting("a", version))
      assert.are.equal(0, m:reload().status)
      swapping.await("a", version)
    end
    local other = assert(swapping.open "b")
    local held = { assert(swapping.open "a"), assert(swapping.open "a") }
    for i = 2, 4 do
      save("v" .. i)
      held[i + 1] = assert(swapping.open "a")
    end
    -- Three old versions, v1 to v3, are held.
    assert.truthy(net.ask(held[1], "on"):find "^v1: on")
    save "v5"
    for i = 1, 2 do
      local _, how = held[i]:receive_all()
      assert.truthy(how == "end" or how == "reset", how)
    end
    m:await_metric('connection_terminations_total{side="client",reason="superseded"}', 2)
    for i = 3, 5 do
      assert.truthy(net.ask(held[i], "on"):find(("^v%d: on"):format(i - 1)))
    end
    assert.are.equal("v1: on 1", net.ask(other, "on"))
    -- One that has ended by itself makes room.
    held[3]:close()
    process.wait_for(function()
      return m:metric "active_connections" == 3
    end)
    save "v6"
    assert.truthy(net.ask(held[4], "still"):find "^v3: still")
    assert.are.equal(2, m:metric 'connection_terminations_total{side="client",reason="superseded"}')
  end)

  it("without connections are gone at once", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v0") }, { workers = 2 })
    local function round(i)
      m:write("a.lua", counting("a", "v" .. i, nil, ("ballast = ('x'):rep(2e6 + %d)"):format(i)))
      assert.are.equal(0, m:reload().status)
    end
    for i = 1, 5 do
      round(i)
    end
    local descriptors, memory = m:fds(), m:rss()
    for i = 6, 30 do
      round(i)
    end
    process.wait_for(function()
      return m:fds() <= descriptors
    end, 30, ("%d descriptors to become %d"):format(m:fds(), descriptors))
    if not moongate.sanitized then -- 25 versions of 4 MB
      assert.truthy(m:rss() - memory < 20e6, ("%.0f KiB more"):format((m:rss() - memory) / 1024))
    end
  end)

  it("go with the last of their connections", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v0") }, { workers = 2 })
    local function round(first, last)
      local held = {}
      for i = first, last do
        m:write("a.lua", counting("a", "v" .. i, nil, ("local ballast = ('x'):rep(1e6 + %d)"):format(i)))
        assert.are.equal(0, m:reload().status)
        held[#held + 1] = assert(swapping.open "a")
      end
      for _, client in ipairs(held) do
        client:close()
      end
      m:await_idle()
    end
    round(1, 10)
    local memory = m:rss()
    for i = 1, 4 do
      round(i * 10 + 1, i * 10 + 10)
    end
    if not moongate.sanitized then
      assert.truthy(m:rss() - memory < 20e6, ("%.0f KiB more"):format((m:rss() - memory) / 1024))
    end
    assert.are.equal(0, m:metric "active_connections")
  end)

  it("end what they had begun at a reload, and nobody else's", function()
    local function ticking(name, version)
      local begin = [[
        local running = false
        moongate.on_reload(function()
          while not running or running == coroutine.running() do
            running = coroutine.running()
            moongate.log.info("tick %s")
            moongate.sleep(0.02)
          end
        end)]]
      return counting(name, version, nil, begin:format(version))
    end
    local m = swapping.start { ["a.lua"] = ticking("a", "a1"), ["b.lua"] = ticking("b", "b1") }
    local held = assert(swapping.open "a")
    m:write("c.lua", counting("c", "c1"))
    m:await_log "tick a1"
    m:await_log "tick b1"
    m:write("a.lua", ticking("a", "a2"))
    m:await_log "tick a2"
    swapping.await("a", "a2")
    local function ticks(version)
      return select(2, m:log():gsub("tick " .. version, ""))
    end
    local old, others = ticks "a1", ticks "b1"
    process.wait_for(function()
      return ticks "b1" > others + 5 and ticks "a2" > 5
    end)
    assert.truthy(ticks "a1" <= old + 1)
    assert.are.equal("a1: on 1", net.ask(held, "on"))
  end)

  it("are told of by moongate.on_reload in the new one", function()
    local function telling(name, version)
      return counting(name, version, nil, ([[
        local told = 0
        moongate.on_reload(function() told = told + 1 moongate.log.info("told %s " .. told) end)
      ]]):format(version))
    end
    local m = swapping.start { ["a.lua"] = telling("a", "a1"), ["b.lua"] = counting("b", "b1") }
    m:write("b.lua", counting("b", "b2"))
    m:await_log "told a1"
    local _, before = m:log():gsub("told a1", "")
    assert.truthy(before >= 1)
    m:write("a.lua", telling("a", "a2"))
    swapping.await("a", "a2")
    m:await_log "told a2"
    -- An error in it is the file's own affair.
    m:write("a.lua", counting("a", "a3", nil, "moongate.on_reload(function() error 'as ever' end)"))
    swapping.await("a", "a3")
    m:await_log "as ever"
    m:write("b.lua", counting("b", "b3"))
    swapping.await("b", "b3")
    assert.are.equal("a3", (swapping.ask "a"))
  end)
end)
