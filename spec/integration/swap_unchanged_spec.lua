-- SPDX-License-Identifier: MIT
--
-- What a save leaves alone: other files with their upvalues and connections, routes that are what they were, modules
-- that nobody has touched.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("a save", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  it("leaves the upvalues of other files", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    for i = 0, 4 do
      assert.are.same({ "v1", i }, { swapping.ask "a" })
    end
    for i = 2, 4 do
      m:write("b.lua", counting("b", "v" .. i))
      swapping.await("b", "v" .. i)
    end
    assert.are.same({ "v1", 5 }, { swapping.ask "a" })
    m:write("c.lua", counting("c", "new"))
    swapping.await("c", "new")
    m:delete "b.lua"
    swapping.await_refused "b"
    m:write("d.lua", "this is ( broken")
    m:await_fault "d.lua"
    assert.are.same({ "v1", 6 }, { swapping.ask "a" })
    -- Its own change begins anew.
    m:write("a.lua", counting("a", "v2"))
    process.wait_for(function()
      local version, count = swapping.ask "a"
      return version == "v2" and count <= 1
    end)
  end)

  it("leaves the files that sort behind a new, a deleted and a renamed one", function()
    local m = swapping.start { ["m.lua"] = counting("m", "v1"), ["n.lua"] = counting("n", "v1") }
    assert.are.same({ "v1", 0 }, { swapping.ask "m" })
    assert.are.same({ "v1", 0 }, { swapping.ask "n" })
    m:write("a.lua", counting("a", "v1"))
    swapping.await("a", "v1")
    assert.are.same({ "v1", 1 }, { swapping.ask "m" })
    m:rename("a.lua", "z.lua")
    assert.are.equal(0, m:reload().status)
    assert.are.same({ "v1", 2 }, { swapping.ask "m" })
    m:delete "z.lua"
    swapping.await_refused "a"
    assert.are.same({ "v1", 1 }, { swapping.ask "n" })
    assert.are.same({ "v1", 3 }, { swapping.ask "m" })
  end)

  it("of a module changes the files that require it, and only those", function()
    local function user(name)
      return counting(name, "VERSION"):gsub('"VERSION"', 'require("shared").version')
    end
    local space = moongate.workspace {
      routes = { ["a.lua"] = user "a", ["b.lua"] = counting("b", "v1"), ["c.lua"] = user "c" },
    }
    process.write(space.directory .. "/shared.lua", "return require 'deeper'")
    process.write(space.directory .. "/deeper.lua", "return { version = 'm1' }")
    local m = moongate.start { space = space }
    for i = 0, 2 do
      assert.are.same({ "m1", i }, { swapping.ask "a" })
      assert.are.same({ "v1", i }, { swapping.ask "b" })
    end
    m:write("../deeper.lua", "return { version = 'm2' }")
    swapping.await("a", "m2")
    swapping.await("c", "m2")
    assert.are.same({ "v1", 3 }, { swapping.ask "b" })
    -- A module that is broken is a fault of those who need it.
    m:write("../deeper.lua", "return { version = ")
    local fault = m:await_fault("a.lua", "deeper.lua")
    assert.are.equal(0, m:metric 'route_file_ok{file="a.lua"}', fault.message)
    m:await_fault("c.lua", "deeper.lua")
    assert.are.equal(1, m:metric 'route_file_ok{file="b.lua"}')
    assert.are.equal("m2", (swapping.ask "a"))
    -- A module that is gone, too.
    assert(os.remove(m:path "../deeper.lua"))
    m:await_fault("a.lua", "deeper", "not found")
    assert.are.equal("m2", (swapping.ask "a"))
    m:write("../deeper.lua", "return { version = 'm3' }")
    swapping.await("a", "m3")
    m:await_well "c.lua"
    assert.are.equal("m3", (swapping.ask "c"))
    assert.are.same({ "v1", 4 }, { swapping.ask "b" })
  end)

  it("of a module in a directory of its own, and of one that was missing, is seen", function()
    local text = [[
      local fine, deep = pcall(require, "lib.deep")
      local version = fine and deep or "none"
      return ]] .. swapping.route("a", [[handler = function(socket) socket:send(version .. " 0\n") end]])
    local m = swapping.start { ["a.lua"] = text, ["b.lua"] = counting("b", "v1") }
    assert.are.equal("none", (swapping.ask "a"))
    assert(os.execute(("mkdir -p %s/lib"):format(m.directory)) == 0)
    m:write("../lib/deep.lua", "return 'm1'")
    swapping.await("a", "m1")
    m:overwrite("../lib/deep.lua", "return 'm2'")
    swapping.await("a", "m2")
    assert.are.same({ "v1", 0 }, { swapping.ask "b" })
  end)

  -- A file with a handler beside forwarding routes of the given targets; saving another version changes the handler.
  local function mixed(version, targets, on_change)
    local routes = { swapping.route("h", ("handler = function(socket) socket:send '%s 0\\n' end"):format(version)) }
    for name, target in pairs(targets) do
      local action = ("target = '127.0.0.1:%d'"):format(target)
      routes[#routes + 1] = swapping.route(name, action, ("on_change = %q"):format(on_change))
    end
    return "return { " .. table.concat(routes, ", ") .. " }"
  end

  local function forwarded(name, target)
    local client = assert(swapping.connect(name))
    client:send "x"
    local served = assert(target:accept())
    assert.are.equal("x", (served:receive(1)))
    return client, served
  end

  local function expect_alive(client, served)
    client:send "y"
    assert.are.equal("y", (served:receive(1)))
    served:send "z"
    assert.are.equal("z", (client:receive(1)))
  end

  it("leaves the routes without functions whose values are equal", function()
    local one, two, three = net.listen(), net.listen(), net.listen()
    local m = swapping.start { ["a.lua"] = mixed("v1", { p = one:port(), q = two:port() }, "close") }
    local kept, kept_served = forwarded("p", one)
    local hit, hit_served = forwarded("q", two)
    m:write("a.lua", mixed("v2", { p = one:port(), q = two:port() }, "close"))
    swapping.await("h", "v2")
    expect_alive(kept, kept_served)
    expect_alive(hit, hit_served)
    m:write("a.lua", mixed("v3", { p = one:port(), q = three:port() }, "close"))
    swapping.await("h", "v3")
    local _, how = hit:receive_all()
    assert.truthy(how == "end" or how == "reset", how)
    expect_alive(kept, kept_served)
    m:await_metric('connection_terminations_total{side="client",reason="changed"}', 1)
    -- So does a route that has gone, and one that has moved to another file is another's.
    m:write("a.lua", mixed("v4", { q = three:port() }, "close"))
    swapping.await("h", "v4")
    _, how = kept:receive_all()
    assert.truthy(how == "end" or how == "reset", how)
  end)

  for _, on_change in ipairs { "keep", "drain", "close" } do
    it(("with on_change = %q treats the connections of what has changed so"):format(on_change), function()
      local one, two = net.listen(), net.listen()
      local more = ("on_change = %q, timeouts = { shutdown = '400ms' }"):format(on_change)
      local routes = {
        ["a.lua"] = swapping.forwarding("a", one:port(), more),
        ["b.lua"] = counting("b", "v1", more),
      }
      local m = swapping.start(routes)
      local client, served = forwarded("a", one)
      local held = assert(swapping.open "b")
      m:write("a.lua", swapping.forwarding("a", two:port(), more))
      m:write("b.lua", counting("b", "v2", more))
      swapping.await("b", "v2")
      assert.are.equal(0, m:reload().status)
      local began = process.now()
      if on_change == "keep" then
        process.nap(0.6)
        expect_alive(client, served)
        assert.are.equal("v1: still 1", net.ask(held, "still"))
        return
      end
      for _, connection in ipairs { client, held } do
        local _, how = connection:receive_all()
        assert.truthy(how == "end" or how == "reset", how)
      end
      assert.truthy(process.now() - began < 5)
      m:await_metric('connection_terminations_total{side="client",reason="changed"}', 2)
      assert.are.equal("v2", (swapping.ask "b"))
    end)
  end

  it("treats those likewise whose route is known only after it has changed, and leaves the others", function()
    local one, two = net.listen(), net.listen()
    local gate = process.directory() .. "/open"
    local function waiting(name, target)
      return ([[return {
        name = %q, match = { address = %q, ports = %d, when = function()
          local file
          repeat
            moongate.sleep(0.02)
            file = io.open(%q)
          until file
          return file:close()
        end },
        action = { target = "127.0.0.1:%d" }, on_change = "close",
      }]]):format(name, swapping.host, swapping.port(name), gate, target:port())
    end
    local m = swapping.start {
      ["a.lua"] = waiting("a", one),
      ["b.lua"] = waiting("b", one),
      ["c.lua"] = counting("c", "v1"),
    }
    local late, kept = assert(swapping.connect "a"), assert(swapping.connect "b")
    kept:send "x"
    m:await_metric('connections_by_state{state="routing"}', 2)
    m:write("a.lua", waiting("a", two))
    m:write("c.lua", counting("c", "v2"))
    swapping.await("c", "v2")
    assert.are.equal(0, m:reload().status)
    process.write(gate, "")
    local _, how = late:receive_all()
    assert.truthy(how == "end" or how == "reset", how)
    local served = assert(one:accept())
    assert.are.equal("x", (served:receive(1)))
    expect_alive(kept, served)
    m:await_metric('connection_terminations_total{side="client",reason="changed"}', 1)
  end)

  it("lets connections of a draining route finish first", function()
    local one, two = net.listen(), net.listen()
    local more = "on_change = 'drain', timeouts = { shutdown = '30s' }"
    local m = swapping.start {
      ["a.lua"] = swapping.forwarding("a", one:port(), more),
      ["b.lua"] = counting("b", "v1"),
    }
    local client, served = forwarded("a", one)
    m:write("a.lua", swapping.forwarding("a", two:port(), more))
    m:write("b.lua", counting("b", "v2"))
    swapping.await("b", "v2")
    assert.are.equal(0, m:reload().status)
    expect_alive(client, served)
    served:send "the last word"
    served:close()
    assert.are.same({ "the last word", "end" }, { client:receive_all() })
  end)
end)
