-- SPDX-License-Identifier: MIT
--
-- The directory of the route files: replaced by another one, gone and back, a link that is switched.

local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("the directory of the routes", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  local function make(directory, files)
    assert(lfs.mkdir(directory))
    for name, text in pairs(files) do
      process.write(directory .. "/" .. name, text)
    end
  end

  -- A change after the switch has to be seen as well: the watch is on what is there now.
  local function expect_watched(m)
    m:write("a.lua", counting("a", "later"))
    swapping.await("a", "later")
    m:overwrite("a.lua", counting("a", "latest"))
    swapping.await("a", "latest")
  end

  it("is replaced by another one", function()
    local m = swapping.start {
      ["a.lua"] = counting("a", "v1"),
      ["b.lua"] = counting("b", "v1"),
      ["c.lua"] = counting("c", "v1"),
    }
    local held = assert(swapping.open "c")
    assert.are.same({ "v1", 0 }, { swapping.ask "b" })
    make(m.directory .. "/new", {
      ["a.lua"] = counting("a", "v2"),
      ["b.lua"] = counting("b", "v1"),
      ["d.lua"] = counting("d", "v1"),
    })
    assert(os.rename(m.directory .. "/routes", m.directory .. "/old"))
    assert(os.rename(m.directory .. "/new", m.directory .. "/routes"))
    swapping.await("a", "v2")
    swapping.await("d", "v1")
    swapping.await_refused "c"
    assert.are.same({ "v1", 1 }, { swapping.ask "b" })
    assert.are.equal("v1: on 1", net.ask(held, "on"))
    expect_watched(m)
    -- What becomes of the old one is nobody's business.
    process.write(m.directory .. "/old/a.lua", counting("a", "stale"))
    assert.are.equal(0, m:reload().status)
    assert.are.equal("latest", (swapping.ask "a"))
  end)

  it("is gone for a while, and what it held stays live", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    assert.are.same({ "v1", 0 }, { swapping.ask "a" })
    assert(os.rename(m.directory .. "/routes", m.directory .. "/old"))
    local answer = m:reload()
    assert.are.equal(1, answer.status, answer.out .. answer.err)
    assert.truthy((answer.out .. answer.err):find("routes", 1, true))
    assert.are.same({ "v1", 1 }, { swapping.ask "a" })
    for _, command in ipairs { "status", "diagnose" } do
      local shown = moongate.command { command, "--control", m.control }.out:gsub("%s+", " ")
      assert.truthy(shown:find("the directory of the route files does not exist", 1, true), shown)
      assert.falsy(shown:find("0 faults", 1, true), shown)
    end
    make(m.directory .. "/routes", { ["a.lua"] = counting("a", "v2") })
    swapping.await("a", "v2")
    expect_watched(m)
  end)

  local ways = { ["by its path"] = "%s/routes", ["with a slash behind"] = "%s/routes/", ["from within"] = "routes" }
  for how, said in pairs(ways) do
    it(("is a link, named %s, that is switched to another one"):format(how), function()
      local space = moongate.workspace {}
      space.routes = said:format(space.directory)
      assert(lfs.rmdir(space.directory .. "/routes"))
      make(space.directory .. "/release-1", { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") })
      make(space.directory .. "/release-2", { ["a.lua"] = counting("a", "v2"), ["b.lua"] = counting("b", "v1") })
      local link = space.directory .. "/routes"
      assert(lfs.link("release-1", link, true))
      local m = moongate.start { space = space }
      assert.are.same({ "v1", 0 }, { swapping.ask "a" })
      assert.are.same({ "v1", 0 }, { swapping.ask "b" })
      assert(lfs.link("release-2", link .. ".new", true))
      assert(os.rename(link .. ".new", link))
      swapping.await("a", "v2")
      assert.are.same({ "v1", 1 }, { swapping.ask "b" })
      expect_watched(m)
    end)
  end

  it("holds links into a directory that is switched, as mounted volumes do", function()
    local space = moongate.workspace {}
    local routes = space.directory .. "/routes"
    make(routes .. "/..2026_1", { ["a.lua"] = counting("a", "v1") })
    assert(lfs.link("..2026_1", routes .. "/..data", true))
    assert(lfs.link("..data/a.lua", routes .. "/a.lua", true))
    moongate.start { space = space }
    assert.are.equal("v1", (swapping.ask "a"))
    make(routes .. "/..2026_2", { ["a.lua"] = counting("a", "v2") })
    assert(lfs.link("..2026_2", routes .. "/..data_tmp", true))
    assert(os.rename(routes .. "/..data_tmp", routes .. "/..data"))
    swapping.await("a", "v2")
  end)

  it("holds links to files elsewhere, which are saved there", function()
    local space = moongate.workspace { routes = { ["b.lua"] = counting("b", "v1") } }
    local available, real = space.directory .. "/available", space.directory .. "/real"
    make(available, { ["a.lua"] = counting("a", "v1") })
    make(real, { ["c.lua"] = counting("c", "v1") })
    assert(lfs.link("../available/a.lua", space.directory .. "/routes/a.lua", true))
    assert(lfs.link("../real/c.lua", available .. "/c.lua", true))
    local m = moongate.start { space = space }
    assert.are.equal("v1", (swapping.ask "a"))
    process.write(available .. "/a.lua", counting("a", "v2"))
    swapping.await("a", "v2")
    -- A link that comes later, and leads on to another one.
    assert(lfs.link(available .. "/c.lua", m.directory .. "/routes/c.lua", true))
    swapping.await("c", "v1")
    process.write(real .. "/c.new", counting("c", "v2"))
    assert(os.rename(real .. "/c.new", real .. "/c.lua"))
    swapping.await("c", "v2")
    -- The link between is one to something else now.
    process.write(real .. "/d.lua", counting("c", "v3"))
    assert(lfs.link("../real/d.lua", available .. "/c.new.lua", true))
    assert(os.rename(available .. "/c.new.lua", available .. "/c.lua"))
    swapping.await("c", "v3")
    process.write(real .. "/d.lua", counting("c", "v4"))
    swapping.await("c", "v4")
  end)

  it("can be empty, and become so", function()
    local m = swapping.start {}
    m:write("a.lua", counting("a", "v1"))
    swapping.await("a", "v1")
    m:delete "a.lua"
    swapping.await_refused "a"
    assert.are.equal(0, m:reload().status)
    m:write("a.lua", counting("a", "v2"))
    swapping.await("a", "v2")
  end)
end)
