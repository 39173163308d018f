-- SPDX-License-Identifier: MIT
--
-- Saves that inotify does not tell of in the directory of the routes: a link on the way to it is switched, a file has
-- another name by which it is written, something is mounted over it. Mounts are real ones, in a mount namespace of
-- moongate's own.

local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"
local unistd = require "posix.unistd"

local namespaces = unistd.geteuid() == 0 and "-m" or "-rm"
local possible = process.run({ "unshare", namespaces, "true" }).status == 0

describe("a save", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  local function append(path, text)
    local file = assert(io.open(path, "a"))
    file:write(text)
    file:close()
  end

  it("through a link on the way, that is switched, is seen; and so is a second one", function()
    local space = moongate.workspace {}
    local root = space.directory
    assert(lfs.rmdir(root .. "/routes"))
    for _, name in ipairs { "releases", "releases/1", "releases/2", "releases/1/routes", "releases/2/routes" } do
      assert(lfs.mkdir(root .. "/" .. name))
    end
    process.write(root .. "/releases/1/routes/a.lua", "local t = require 'lib.text'\n" .. counting("a", "v1"))
    process.write(root .. "/releases/2/routes/a.lua", "local t = require 'lib.text'\n" .. counting("a", "v2"))
    for release = 1, 2 do
      assert(lfs.mkdir(root .. "/releases/" .. release .. "/lib"))
      process.write(root .. "/releases/" .. release .. "/lib/text.lua", "return 1")
    end
    assert(lfs.link("releases/1", root .. "/current", true))
    space.routes = root .. "/current/routes"
    local m = moongate.start { space = space }
    local function switch(to)
      assert(lfs.link(to, root .. "/current.new", true))
      assert(os.rename(root .. "/current.new", root .. "/current"))
    end
    assert.are.equal("v1", (swapping.ask "a"))
    switch "releases/2"
    swapping.await("a", "v2")
    process.write(root .. "/releases/2/routes/a.lua", "local t = require 'lib.text'\n" .. counting("a", "v3"))
    swapping.await("a", "v3")
    switch "releases/1"
    swapping.await("a", "v1")
    process.write(root .. "/releases/1/lib/text.lua", "return 2")
    process.wait_for(function()
      return m:files()["a.lua"].version == 5
    end, 10, "the module to be taken up")
  end)

  it("by another name of the file is seen, whenever that was made", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    process.nap(0.5)
    assert(lfs.link(m:path "a.lua", m.directory .. "/other.lua"))
    process.nap(0.5)
    process.write(m.directory .. "/other.lua", counting("a", "v2"))
    swapping.await("a", "v2")
  end)

  it("beside the way to the routes is no reload", function()
    local m = swapping.start { ["a.lua"] = "require 'shared'\n" .. counting("a", "v1"), ["../shared.lua"] = "return 1" }
    assert.are.equal("v1", (swapping.ask "a"))
    process.nap(0.5)
    local rounds = m:status().reload.rounds
    for i = 1, 30 do
      assert(lfs.mkdir(("%s/release-%d"):format(m.directory, i)))
      process.write(("%s/unrelated-%d.lua"):format(m.directory, i), "return 1")
      process.nap(0.02)
    end
    process.nap(0.5)
    assert.are.equal(rounds, m:status().reload.rounds)
    process.write(m.directory .. "/shared.lua", "return 2")
    process.wait_for(function()
      return m:files()["a.lua"].version == 2
    end)
  end)

  if not possible then
    pending "in a mount namespace: none can be made here"
    return
  end

  local function start_mounting(routes, config)
    local m = moongate.start {
      routes = routes,
      config = config,
      within = { "unshare", namespaces, "--propagation", "private" },
    }
    function m.mount(_, ...)
      local done = process.run { "nsenter", "--mount", "--target", m.process.pid, ... }
      assert.are.equal(0, done.status, done.err)
    end
    return m
  end

  it("in a file that is mounted over one, written in place, is seen", function()
    local m = start_mounting { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    local source = process.write(m.directory .. "/source", counting("a", "v2"))
    m:mount("mount", "--bind", source, m:path "a.lua")
    swapping.await("a", "v2")
    process.write(source, counting("a", "v3"))
    swapping.await("a", "v3")
    append(source, "-- no change of what it does\n")
    process.wait_for(function()
      return m:files()["a.lua"].version == 4
    end)
    assert.are.equal("v1", (swapping.ask "b"))
    m:mount("umount", m:path "a.lua")
    swapping.await("a", "v1")
  end)

  it("is a directory that is mounted over that of the routes, and taken away again", function()
    local m = start_mounting { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    local release = m.directory .. "/release"
    assert(lfs.mkdir(release))
    process.write(release .. "/a.lua", counting("a", "v2"))
    process.write(release .. "/b.lua", counting("b", "v1"))
    assert.are.same({ "v1", 0 }, { swapping.ask "b" })
    m:mount("mount", "--bind", release, m.directory .. "/routes")
    swapping.await("a", "v2")
    assert.are.same({ "v1", 1 }, { swapping.ask "b" })
    process.write(release .. "/a.lua", counting("a", "v3"))
    swapping.await("a", "v3")
    m:mount("umount", m.directory .. "/routes")
    swapping.await("a", "v1")
    assert.are.same({ "v1", 2 }, { swapping.ask "b" })
  end)
end)
