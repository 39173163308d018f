-- SPDX-License-Identifier: MIT
--
-- Route files that can't be used, saved while moongate runs: the old version stays live, the fault is told with its
-- place, nothing leaks, and the next good save goes live.

local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("a file that is saved", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  local function shell(line, ...)
    assert(os.execute(line:format(...)) == 0)
  end

  -- What is saved: a text, or a function that does it; the line of the fault; words in it.
  local bad = {
    ["broken"] = { "return {\n  name = = 1\n}", 2 },
    ["half of what it should be"] = { (counting("a", "v2"):gsub("return.*$", "return { name = 'a', match = {")), nil },
    ["empty"] = { "", nil, "return" },
    ["of blanks and a comment"] = { "\n\n  -- to be done\n", nil, "return" },
    ["returning nothing of use"] = { "return 7", nil, "return" },
    ["raising an error"] = { "local x\nlocal y = x.z\nreturn {}", 2, "x" },
    ["with a misspelt field"] = {
      "return {\n  name = 'a',\n  match = {\n    port = 80,\n  },\n  action = { target = 'a:1' },\n}",
      4,
      "match.port",
      "ports",
    },
    ["with a wrong value"] = {
      "return {\n  name = 'a', match = { ports = 80 },\n  action = {\n    target = 'a:99999',\n  },\n}",
      4,
      "action.target",
    },
    ["with another file's route name"] = {
      "return { name = 'b', match = { ports = 80 }, action = { target = 'a:1' } }",
      nil,
      "b.lua",
    },
    ["of 10 MiB"] = { counting("a", "v2") .. "--" .. ("x"):rep(10 * 1024 * 1024), nil, "MiB" },
    ["of bytes that are no text"] = { ("\0\255\27LJ\2\1"):rep(100), nil },
    ["as bytecode"] = { string.dump(loadstring(counting("a", "v2"))), nil, "bytecode" },
    ["looping at load"] = { "local n = 0\nwhile true do n = n + 1 end\nreturn {}", 2, "script_time" },
    ["looping at load inside pcall"] = {
      "while true do pcall(function() while true do end end) end",
      1,
      "script_time",
    },
    ["taking all memory at load"] = {
      "local t = {}\nfor i = 1, 1e9 do t[i] = { i } end\nreturn {}",
      nil,
      "script_memory",
    },
    ["requiring a module that is not there"] = { "require 'nowhere'\nreturn {}", 1, "nowhere" },
    ["different in each worker, by an address"] = {
      (counting("a", "v2"):gsub('name = "a"', "name = 'a' .. tostring({})")),
      nil,
      "each",
    },
    ["different in each worker, by a clock"] = {
      (counting("a", "v2"):gsub('name = "a"', "name = ('a%%.9f'):format(os.clock())")),
      nil,
      "each",
    },
    ["a directory"] = {
      function(m)
        m:delete "a.lua"
        assert(lfs.mkdir(m:path "a.lua"))
      end,
      nil,
      "directory",
      clean = function(m)
        assert(lfs.rmdir(m:path "a.lua"))
      end,
    },
    ["a link to nowhere"] = {
      function(m)
        shell("ln -sfn nowhere.txt %s", m:path "a.lua")
      end,
      nil,
    },
    ["a link to itself"] = {
      function(m)
        shell("ln -sfn a.lua %s", m:path "a.lua")
      end,
      nil,
    },
    ["a pipe that nobody writes to"] = {
      function(m)
        m:delete "a.lua"
        shell("mkfifo %s", m:path "a.lua")
      end,
      nil,
    },
    ["a device"] = {
      function(m)
        shell("ln -sfn /dev/zero %s", m:path "a.lua")
      end,
      nil,
    },
  }

  for what, case in pairs(bad) do
    it(what .. " leaves the old one live until the next good save", function()
      local m = swapping.start({ ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }, {
        workers = 3,
        config = "limits = { script_time = '1500ms', script_memory = '16m' }",
      })
      local held = assert(swapping.open "a")
      local descriptors = m:fds()
      local generation = m:generation()
      if type(case[1]) == "function" then
        case[1](m)
      else
        m:write("a.lua", case[1])
      end
      local fault = m:await_fault("a.lua", case[3] or "", case[4] or "")
      assert.truthy(fault.file:find("a.lua", 1, true), fault.file)
      assert.are_not.equal("", fault.message)
      if case[2] then
        assert.are.equal(case[2], fault.line, fault.message)
      end
      assert.is_false(m:files()["a.lua"].ok)
      assert.is_true(m:files()["b.lua"].ok)
      assert.are.equal(0, m:metric 'route_file_ok{file="a.lua"}')
      assert.are.equal(1, m:metric 'route_file_ok{file="b.lua"}')
      assert.are.equal(generation, m:generation())
      m:await_log "a%.lua"
      -- Old and held ones go on; so does the other file, whose save is live beside the broken one.
      assert.are.equal("v1", (swapping.ask "a"))
      assert.truthy(net.ask(held, "on"):find "^v1: on ")
      m:write("b.lua", counting("b", "v2"))
      swapping.await("b", "v2")
      assert.are.equal("v1", (swapping.ask "a"))
      assert.truthy(m:files()["a.lua"].faults[1])
      process.wait_for(function()
        return m:fds() <= descriptors
      end, 30, "descriptors to be closed")
      if case.clean then
        case.clean(m)
      end
      m:write("a.lua", counting("a", "v3"))
      swapping.await("a", "v3")
      m:await_well "a.lua"
      assert.are.equal(1, m:metric 'route_file_ok{file="a.lua"}')
      assert.truthy(net.ask(held, "still"):find "^v1: still ")
    end)
  end

  it("and loops at load holds up nobody", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }, {
      config = "limits = { script_time = '2s' }",
    })
    local held = assert(swapping.open "b")
    m:write("a.lua", "while true do end")
    local slowest, ended = 0, process.now() + 1.5
    while process.now() < ended do
      local began = process.now()
      assert.are.equal("v1", (swapping.ask "a"))
      assert.are.equal("v1: on 1", net.ask(held, "on"))
      assert.are.equal(200, (m:get "/healthz"))
      slowest = math.max(slowest, process.now() - began)
    end
    assert.truthy(slowest < 1, ("%.2f s"):format(slowest))
    -- Nor does it hold up the end.
    assert.are.equal(0, m:stop())
  end)

  it("in two halves with a pause in between is live once it is whole", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    local text = counting("a", "v2")
    m:overwrite("a.lua", text:sub(1, 90))
    m:await_fault "a.lua"
    assert.are.equal("v1", (swapping.ask "a"))
    m:append("a.lua", text:sub(91))
    swapping.await("a", "v2")
    m:await_well "a.lua"
    m:overwrite("a.lua", "")
    m:await_fault "a.lua"
    assert.are.equal("v2", (swapping.ask "a"))
    m:append("a.lua", counting("a", "v3"))
    swapping.await("a", "v3")
  end)

  it("back as it was after a broken save is the version that lives, with its upvalues", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    assert.are.same({ "v1", 0 }, { swapping.ask "a" })
    m:write("a.lua", "return {")
    m:await_fault "a.lua"
    m:write("a.lua", counting("a", "v1"))
    m:await_well "a.lua"
    assert.are.same({ "v1", 1 }, { swapping.ask "a" })
  end)

  it("for the first time, and broken, is told, and forgotten when it is deleted", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    m:write("b.lua", "return {")
    m:await_fault "b.lua"
    assert.are.equal(0, m:metric 'route_file_ok{file="b.lua"}')
    m:delete "b.lua"
    process.wait_for(function()
      return m:files()["b.lua"] == nil
    end, 5, "b.lua to be forgotten")
    assert.is_nil(m:metrics()['moongate_route_file_ok{file="b.lua"}'])
    assert.are.equal(0, m:reload().status)
  end)

  it("broken, and then deleted, takes its last good version along", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    m:write("a.lua", "return {")
    m:await_fault "a.lua"
    assert.are.equal("v1", (swapping.ask "a"))
    m:delete "a.lua"
    swapping.await_refused "a"
    assert.is_nil(m:files()["a.lua"])
    assert.are.equal("v1", (swapping.ask "b"))
  end)

  it("broken again and again leaves nothing behind", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1") }, { workers = 2 })
    local function round(i)
      m:write("a.lua", ("%s\nerror 'number %d'"):format(("local t = { %q }\n"):format(("x"):rep(1000)):rep(50), i))
      local answer = m:reload()
      assert.are.equal(1, answer.status)
      assert.truthy((answer.out .. answer.err):find(("number %d"):format(i), 1, true), answer.out .. answer.err)
    end
    for i = 1, 10 do
      round(i)
    end
    local descriptors, memory = m:fds(), m:rss()
    for i = 11, 60 do
      round(i)
    end
    process.wait_for(function()
      return m:fds() <= descriptors
    end, 30, ("%d descriptors to become %d"):format(m:fds(), descriptors))
    if not moongate.sanitized then
      assert.truthy(m:rss() - memory < 2 * 1024 * 1024, ("%d KiB more"):format((m:rss() - memory) / 1024))
    end
    assert.are.equal("v1", (swapping.ask "a"))
  end)

  it("is not said to have a last good version when it has none", function()
    local m = swapping.start { ["a.lua"] = swapping.counting("a", "v1") }
    m:write("new.lua", "return {")
    local line = m:await_log "([^\n]*a fault in the routes[^\n]*new%.lua[^\n]*)"
    assert.truthy(line:find("the file has no good version, and is left out", 1, true), line)
    m:write("a.lua", "return {")
    line = m:await_log "([^\n]*a fault in the routes[^\n]*/a%.lua[^\n]*)"
    assert.truthy(line:find("the file keeps its last good version", 1, true), line)
    assert.are.equal("v1", (swapping.ask "a"))
    assert(os.rename(m.directory .. "/routes", m.directory .. "/away"))
    assert.are.equal(1, m:reload().status)
    m:await_log "a fault in the routes: what was live stays"
    assert.are.equal("v1", (swapping.ask "a"))
    assert(os.rename(m.directory .. "/away", m.directory .. "/routes"))
  end)
end)
