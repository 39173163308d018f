-- SPDX-License-Identifier: MIT
--
-- A file that ends the process which loads it. What ends it here is a signal from outside, at a moment when the file is
-- being run: it waits for a FIFO.

local cjson = require "cjson"
local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local signal = require "posix.signal"

-- A sanitizer would make a report of the one that is meant.
local CRASH = moongate.sanitized and "SIGKILL" or "SIGSEGV"

describe("a file that ends the process", function()
  after_each(moongate.finish)

  local function answering(text, before)
    return (before or "")
      .. ([[ return { name = "a", match = { ports = 0 }, action = { handler = function(s) s:send(%q) end } }]]):format(
        text
      )
  end

  local function workspace()
    local space = moongate.workspace { config = "limits = { load_time = '60s' }," }
    space.fifo = space.directory .. "/fifo"
    assert(os.execute("mkfifo " .. space.fifo) == 0)
    return space
  end

  local function write(space, text)
    process.write(space.directory .. "/routes/a.lua", text)
  end

  local function hanging(space, text)
    return answering(text, ("io.open(%q)"):format(space.fifo))
  end

  -- Runs one on the space that is ended, while it loads, by a signal.
  local function crash(space, name)
    local m = moongate.start { space = space, ready = false }
    m.may_fail = true
    m:await_log("a file takes long to load", 20)
    m.process:signal(name)
    assert.matches("^signal", tostring(m.process:wait(10)))
  end

  local function ask(m)
    local client = assert(net.connect(m:port "a"))
    local text = client:receive_all()
    client:close()
    return text
  end

  local function await_answer(m, text)
    process.wait_for(function()
      local fine, answer = pcall(ask, m)
      return fine and answer == text
    end, 20, "the answer " .. text)
  end

  it("is not run by the next one, which serves its last good version", function()
    local space = workspace()
    write(space, answering "one")
    local m = moongate.start { space = space }
    process.wait_for(function()
      return process.read(space.directory .. "/state/last-good/a.lua") ~= ""
    end)
    m:stop()
    write(space, hanging(space, "two"))
    crash(space, CRASH)
    for _ = 1, 2 do -- the second one after an end in good order
      m = moongate.start { space = space }
      assert.are.equal("last_good", m:files()["a.lua"].state)
      assert.are.equal("one", ask(m))
      m:await_log 'the file keeps its last good version"[^\n]*a%.lua error="is not run: the process ended'
      local result = m:reload()
      assert.are.equal(1, result.status)
      assert.matches("is not run: the process ended", result.out .. result.err)
      assert.are.equal(0, m:stop())
    end
    m = moongate.start { space = space }
    local status, body = m:request("PUT", "/api/v1/files/a.lua", { body = hanging(space, "two") })
    assert.are.equal(422, status)
    assert.matches("is not run", cjson.decode(body).faults[1].message)
    write(space, answering "three")
    await_answer(m, "three")
  end)

  it("is left out when it was never good, and the others are served", function()
    local space = workspace()
    write(space, hanging(space, "two"))
    process.write(
      space.directory .. "/routes/b.lua",
      [[return { name = "b", match = { ports = 0 }, action = { target = "127.0.0.1:1" } }]]
    )
    crash(space, "SIGKILL")
    local m = moongate.start { space = space }
    assert.are.equal("absent", m:files()["a.lua"].state)
    assert.are.equal("live", m:files()["b.lua"].state)
  end)

  it("is run again when what is known of it may be somebody else's word, which is told and replaced", function()
    local space = workspace()
    write(space, hanging(space, "two"))
    crash(space, "SIGKILL")
    local mark = space.directory .. "/state/loading"
    assert(os.execute(("rm %s && touch %s && chmod 622 %s"):format(space.fifo, space.fifo, mark)) == 0)
    local m = moongate.start { space = space }
    assert.are.equal("two", ask(m))
    m:await_log("level=warn[^\n]*/state/loading error=[^\n]*it may be written by others")
    assert.are.equal("rw-------", lfs.attributes(mark, "permissions"))
  end)

  it("while it runs is known to the next one, too", function()
    local space = workspace()
    write(space, answering "one")
    local m = moongate.start { space = space }
    process.wait_for(function()
      return process.read(space.directory .. "/state/last-good/a.lua") ~= ""
    end)
    m:write("a.lua", hanging(space, "two"))
    m:await_log("a file takes long to load", 20)
    m.process:signal(CRASH)
    m.process:wait(10)
    m.stopped = true
    m = moongate.start { space = space }
    assert.are.equal("one", ask(m))
  end)

  it("is known to the next one when it was to be put, too: what is in the directory stays and is served", function()
    local space = workspace()
    write(space, answering "one")
    for _, name in ipairs { "a.lua", "never.lua" } do
      local m = moongate.start { space = space }
      local path = process.write(space.directory .. "/text", hanging(space, name))
      os.execute(("curl -s -m 60 -o /dev/null --unix-socket %s -T %s http://moongate/api/v1/files/%s &"):format(
        m.control,
        path,
        name
      ))
      m:await_log("a file takes long to load", 20)
      m.process:signal(CRASH)
      m.process:wait(10)
      m.stopped = true
      m = moongate.start { space = space }
      assert.are.equal("one", ask(m))
      assert.are.equal("live", m:files()["a.lua"].state)
      assert.is_nil(m:files()["never.lua"])
      local status, body = m:request("PUT", "/api/v1/files/" .. name, { body = hanging(space, name) })
      assert.are.equal(422, status)
      assert.matches("is not run: the process ended", cjson.decode(body).faults[1].message)
      assert.are.equal(0, m:stop())
    end
  end)

  it("is not one that was being loaded when the process was told to end", function()
    local space = workspace()
    write(space, hanging(space, "one"))
    for _, name in ipairs { "SIGTERM", "SIGINT" } do
      crash(space, name)
    end
    local m = moongate.start { space = space, ready = false }
    m:await_log("a file takes long to load", 20)
    io.open(space.fifo, "r+"):close()
    await_answer(m, "one")
    m:write("a.lua", hanging(space, "two"))
    process.wait_for(function()
      return m:log():match "a file takes long to load.*a file takes long to load"
    end, 20)
    assert.are.equal(0, m:stop())
    m = moongate.start { space = space, ready = false }
    process.wait_for(function()
      return m:log():match "a file takes long to load"
    end, 20)
    io.open(space.fifo, "r+"):close()
    await_answer(m, "two")
  end)

  it("is a fault that moongate check names", function()
    local space = workspace()
    write(space, hanging(space, "two"))
    local check = process.start { moongate.binary, "check", moongate.files_of(space) }
    process.wait_for(function()
      return check:err():match "a file takes long to load"
    end, 20)
    local children = ("/proc/%d/task/%d/children"):format(check.pid, check.pid)
    signal.kill(tonumber(process.read(children):match "%d+"), signal[CRASH])
    assert.are.equal(1, check:wait(10))
    assert.matches("routes/a%.lua: ends the process that runs it", check:out())
    assert.matches("1 fault\n$", check:out())
  end)
end)
