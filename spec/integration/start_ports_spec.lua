-- SPDX-License-Identifier: MIT
--
-- A start at which a port is another's, or an address is not there yet: what can be served is, the rest waits, and goes
-- live by itself. Addresses come and go in network namespaces of our own.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local netns = require "spec.support.netns"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"
local unistd = require "posix.unistd"

describe("a start", function()
  local space

  after_each(function()
    moongate.finish()
    if space then
      netns.remove(space)
      space = nil
    end
  end)

  local counting = swapping.counting

  local function count(text, pattern)
    local found = 0
    for _ in text:gmatch(pattern) do
      found = found + 1
    end
    return found
  end

  it("with a taken port serves the other files; that one goes live by itself, and is told of once", function()
    local owner = net.listen { host = swapping.host, port = swapping.port "b" }
    local m = swapping.start({
      ["a.lua"] = counting("a", "a1"),
      ["b.lua"] = counting("b", "b1"),
    }, { workers = 2 })
    assert.are.equal("a1", (swapping.ask "a"))
    local file = m:files()["b.lua"]
    assert.is_false(file.ok)
    assert.is_true(file.waits)
    assert.are.equal("absent", file.state)
    assert.truthy(file.faults[1].message:find(tostring(swapping.port "b"), 1, true), file.faults[1].message)
    assert.are.equal(1, m:metric "route_files_waiting")
    local said = moongate.command { "status", "--control", m.control }
    assert.truthy(said.out:find("1 of them waits", 1, true), said.out)
    said = moongate.command { "explain", "--control", m.control, tostring(swapping.port "b") }
    assert.truthy(said.err:gsub("%s+", " "):find("not live as it stands is b.lua (moongate status says why)", 1, true),
      said.err)
    process.nap(2) -- several looks
    owner:close()
    swapping.await("b", "b1")
    m:await_well "b.lua"
    assert.are.equal(0, m:metric "route_files_waiting")
    m:await_log "a route file is well again[^\n]*b%.lua"
    assert.are.equal(1, count(m:log(), "a fault in the routes: the file waits"), m:log())
    assert.are.equal(1, count(m:log(), " is in use by another process"), m:log())
  end)

  it("with a taken port serves the last good version of the file that wants it", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "b1") }
    assert.are.equal("v1", (swapping.ask "a"))
    process.wait_for(function()
      return process.read(m.directory .. "/state/last-good/a.lua") ~= ""
    end)
    assert.are.equal(0, m:stop())
    local owner = net.listen { host = swapping.host, port = swapping.port "k" }
    local text = counting("a", "v2"):gsub(tostring(swapping.port "a"), tostring(swapping.port "k"))
    process.write(m:path "a.lua", text)
    local again = moongate.start { space = m }
    assert.are.equal("v1", (swapping.ask "a"))
    assert.are.equal("last_good", again:files()["a.lua"].state)
    owner:close()
    swapping.await("k", "v2")
    swapping.await_refused "a"
    again:await_well "a.lua"
  end)

  it("with --strict is none when a port is taken", function()
    net.listen { host = swapping.host, port = swapping.port "b" }
    local m = moongate.start {
      routes = { ["a.lua"] = counting("a", "a1"), ["b.lua"] = counting("b", "b1") },
      flags = { "--strict" },
      ready = false,
    }
    m.may_fail = true
    assert.are.equal(1, m.process:wait(20))
    assert.truthy(m:log():find(tostring(swapping.port "b"), 1, true), m:log())
  end)

  it("with a taken admin port serves, says so until it is free, and opens it then", function()
    local port = net.free_ports(1, "127.0.0.1")
    local owner = net.listen { host = "127.0.0.1", port = port }
    local m = swapping.start({ ["a.lua"] = counting("a", "a1") }, {
      config = ("admin = { listen = '127.0.0.1:%d' }"):format(port),
    })
    assert.are.equal("a1", (swapping.ask "a"))
    local faults = m:status().faults
    assert.are.equal("admin.listen", faults[1].field)
    assert.truthy(faults[1].message:find(tostring(port), 1, true), faults[1].message)
    assert.are.equal(1, m:metric "part_faults")
    local said = moongate.command { "status", "--control", m.control }
    assert.truthy(said.out:find("admin.listen", 1, true), said.out)
    said = moongate.command { "diagnose", "--control", m.control }
    assert.truthy(said.out:find("admin.listen", 1, true), said.out)
    -- A route does not get its port meanwhile.
    m:write("k.lua", ("return { match = { address = '127.0.0.1', ports = %d }, action = { target = '127.0.0.1:1' } }")
      :format(port))
    m:await_fault("k.lua", "admin.listen")
    m:delete "k.lua"
    owner:close()
    process.wait_for(function()
      m.admin = port
      return m:request("GET", "/healthz", { tcp = true }) == 200
    end, 10, "the admin interface")
    assert.are.same({}, m:status().faults)
    assert.are.equal(0, m:metric "part_faults")
    assert.are.equal(1, count(m:log(), "level=error msg=\"the admin interface is not open"), m:log())
    m:await_log "the admin interface is open now"
  end)

  it("with an address that is not there yet has its file wait for that", function()
    space = ("moongate-late-%d"):format(unistd.getpid())
    assert(netns.add(space))
    assert(netns.ip(("-n %s link set lo up"):format(space)))
    local m = moongate.start {
      within = { "ip", "netns", "exec", space },
      routes = {
        ["a.lua"] = counting("a", "a1"),
        ["late.lua"] = "return { name = 'late', match = { address = '198.51.100.7', ports = 8000 }, "
          .. "action = { handler = moongate.handlers.echo() } }",
      },
    }
    local file = m:files()["late.lua"]
    assert.is_true(file.waits)
    assert.truthy(file.faults[1].message:find("no interface", 1, true), file.faults[1].message)
    assert(netns.ip(("-n %s address add 198.51.100.7/32 dev lo"):format(space)))
    m:await_well "late.lua"
    assert.are.same({ 8000 }, m:ports "late")
  end)
end)
