-- SPDX-License-Identifier: MIT
--
-- No descriptors left during a swap: the old stays live and the fault is told; with descriptors again, the next save
-- goes live, and nothing has leaked.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("a swap without a descriptor left", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  -- Of the running process.
  local function limit(m, descriptors)
    assert(os.execute(("prlimit --pid %d --nofile=%d:20000"):format(m.process.pid, descriptors)) == 0)
  end

  -- A file with more routes, each with ports of its own.
  local function many_ports(version, count)
    local routes = { (counting("a", version):match "return (.*)") }
    for i = 1, count do
      routes[#routes + 1] = swapping.route("a" .. i, "handler = talk", nil, swapping.port "z" + i)
    end
    return counting("a", version):match "^(.-)return {" .. "return { " .. table.concat(routes, ", ") .. " }"
  end

  it("leaves the old live", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }, { workers = 2 })
    local held = assert(swapping.open "a")
    m:write("b.lua", counting("b", "v2"))
    swapping.await("b", "v2")
    local before = m:fds()
    limit(m, before + 6)
    m:write("a.lua", many_ports("v2", 50))
    process.wait_for(function()
      return m:log():find "a%.lua" and m:log():find "descriptor"
    end, 10, "the fault in the log")
    assert.are.equal("v1: on 1", net.ask(held, "on"))
    process.wait_for(function()
      return m:fds() <= before
    end, 30, "the ports that were opened to be closed")
    assert.are.equal("v1", (swapping.ask "a"))
    limit(m, 1024)
    process.wait_for(function()
      return m:metric 'route_file_ok{file="a.lua"}' == 0
    end, 10, "the fault to be counted")
    m:await_fault("a.lua", "descriptor")
    m:write("a.lua", many_ports("v3", 50))
    swapping.await("a", "v3")
    m:await_well "a.lua"
    m:write("a.lua", counting("a", "v4"))
    swapping.await("a", "v4")
    held:close()
    process.wait_for(function()
      return m:fds() <= before - 1
    end, 30, ("%d descriptors to be closed"):format(before))
  end)

  it("while clients hold all of them, and none for the loader either, leaves the old live", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }, { workers = 2 })
    local before = m:fds()
    limit(m, before + 20)
    local clients, held = {}, assert(swapping.open "a")
    for i = 1, 60 do
      clients[i] = swapping.connect "a"
    end
    process.wait_for(function()
      return m:log():find "descriptor"
    end, 10, "the descriptors to be used up")
    for i = 2, 6 do
      m:write("a.lua", counting("a", "v" .. i))
      process.nap(0.1)
    end
    m:write("a.lua", "return {")
    process.nap(0.2)
    assert.are.equal("v1: on", (net.ask(held, "on") or ""):match "^v1: on")
    assert.truthy(m.process:alive())
    for _, client in pairs(clients) do
      client:close()
    end
    limit(m, 1024)
    m:write("a.lua", counting("a", "v7"))
    swapping.await("a", "v7")
    m:await_well "a.lua"
    assert.are.equal("v1: there", (net.ask(held, "there") or ""):match "^v1: there")
    held:close()
    process.wait_for(function()
      return m:fds() <= before
    end, 30, ("%d descriptors to become %d"):format(m:fds(), before))
  end)

  it("goes on where a swap needs none", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1") }, { workers = 2 })
    for i = 2, 30 do
      m:write("a.lua", counting("a", "v" .. i))
      assert.are.equal(0, m:reload().status)
      if i == 5 then
        limit(m, m:fds() + 12)
      end
    end
    assert.are.equal("v30", (swapping.ask "a"))
  end)
end)
