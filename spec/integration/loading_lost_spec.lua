-- SPDX-License-Identifier: MIT
--
-- A route file that does not come back while it is loaded: it opens a FIFO which nobody writes to, and hangs in the
-- kernel. It is at fault after limits.load_time, and nothing else waits for it any longer.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local BOUND = 1 -- seconds, of limits.load_time

describe("a file that does not come back", function()
  after_each(moongate.finish)

  local function answering(name, text)
    return ([[return { name = %q, match = { ports = 0 }, action = { handler = function(s) s:send(%q) end } }]]):format(
      name,
      text
    )
  end

  -- The text of a file that hangs, and its route.
  local function hanging(space, name, fifo)
    return ("io.open(%q)\n%s"):format(fifo or space.fifo, answering(name or "hanging", "hung"))
  end

  local function workspace(options)
    options = options or {}
    options.config = ("limits = { load_time = '%ds' },"):format(options.bound or BOUND)
    local space = moongate.workspace(options)
    space.fifo = space.directory .. "/fifo"
    assert(os.execute("mkfifo " .. space.fifo) == 0)
    return space
  end

  -- options.bound: another one, in seconds.
  local function start(options)
    local space = workspace(options)
    process.write(space.directory .. "/routes/a.lua", answering("a", "one"))
    return moongate.start { space = space }
  end

  -- Has what hangs in open(2) of the FIFO come back.
  local function release(m)
    local fifo = assert(io.open(m.fifo, "r+"))
    process.nap(0.2)
    fifo:close()
  end

  local function ask(m, name)
    local client = assert(net.connect(m:port(name)))
    local text = client:receive_all()
    client:close()
    return text
  end

  local function await_answer(m, name, text)
    process.wait_for(function()
      local fine, answer = pcall(ask, m, name)
      return fine and answer == text
    end, BOUND + 10, ("%s to answer %s"):format(name, text))
  end

  it("is at fault after the bound, and what else has changed goes live then", function()
    local m = start()
    m:write("hanging.lua", hanging(m))
    process.nap(0.5)
    m:write("a.lua", answering("a", "two"))
    m:await_fault("hanging.lua", "does not come back", "limits.load_time")
    await_answer(m, "a", "two")
    m:write("b.lua", answering("b", "three"))
    await_answer(m, "b", "three")
    assert.are.equal(200, (m:get "/healthz"))
    release(m)
  end)

  it("is named in the log after two seconds, and when its loader is left behind", function()
    local m = start { bound = 4 }
    m:write("hanging.lua", hanging(m))
    m:await_log("a file takes long to load[^\n]* file=[^ ]*/hanging%.lua seconds=2", 10)
    local reload = m:status().reload
    assert.are.equal("loading", reload.phase)
    local command = moongate.command { "status", "--control", m.control }
    assert.matches("reload +loading [^ ]*/hanging%.lua for %ds", command.out)
    assert.matches("/hanging%.lua$", reload.file)
    m:await_log("a loader does not come back from a file[^\n]* file=[^ ]*/hanging%.lua [^\n]*lost_loaders=1", 10)
    assert.are.equal(1, m:metric "lost_loaders")
    command = moongate.command { "status", "--control", m.control }
    assert.matches("reload +1 thread hangs in a file", command.out)
    m:await_log("a fault in the routes[^\n]* file=[^ ]*/hanging%.lua error=\"does not come back", 10)
    release(m)
  end)

  it("keeps what was live of it", function()
    local m = start()
    m:write("a.lua", hanging(m, "a"))
    m:await_fault("a.lua", "does not come back")
    assert.are.equal("one", ask(m, "a"))
    assert.are.equal("live", m:files()["a.lua"].state)
    release(m)
  end)

  it("is not run again for a reload while it hangs, but for another text", function()
    local m = start()
    m:write("hanging.lua", hanging(m))
    m:await_fault("hanging.lua", "does not come back")
    local began = process.now()
    local result = m:reload()
    assert.is_true(process.now() - began < BOUND, "it was run again")
    assert.are.equal(1, result.status)
    assert.matches("does not come back", result.out .. result.err)
    m:write("hanging.lua", answering("hanging", "mended"))
    await_answer(m, "hanging", "mended")
    release(m)
  end)

  it("is run again for a reload once it has come back", function()
    local m = start()
    m:write("hanging.lua", hanging(m))
    m:await_fault("hanging.lua", "does not come back")
    local writer = assert(io.open(m.fifo, "r+"))
    process.wait_for(function()
      return m:status().reload.lost_loaders == 0
    end)
    assert.are.equal(0, m:reload().status)
    assert.are.equal("hung", ask(m, "hanging"))
    writer:close()
  end)

  it("is found out in each module and in every worker's state", function()
    local m = start { workers = 3 }
    process.write(m.directory .. "/slow.lua", ("io.open(%q) return true"):format(m.fifo))
    m:write("module.lua", "require 'slow'\n" .. answering("module", "mended"))
    m:await_fault("module.lua", "does not come back")
    process.write(m.directory .. "/slow.lua", "return true")
    await_answer(m, "module", "mended")
    -- The first worker's run makes the file that the second one's hangs at.
    m:write(
      "second.lua",
      ("local f = io.open(%q) if f then io.open(%q) end io.open(%q, 'w'):close()\n%s"):format(
        m.directory .. "/mark",
        m.fifo,
        m.directory .. "/mark",
        answering("second", "?")
      )
    )
    m:await_fault("second.lua", "does not come back")
    release(m)
  end)

  it("is refused when it is put, within the bound", function()
    local m = start()
    local began = process.now()
    local status, body = m:request("PUT", "/api/v1/files/put.lua", { body = hanging(m) })
    assert.are.equal(422, status)
    assert.is_true(process.now() - began < BOUND + 3)
    local fault = cjson.decode(body).faults[1]
    assert.matches("/put%.lua$", fault.file)
    assert.matches("does not come back", fault.message)
    assert.is_nil(m:files()["put.lua"])
    status = m:request("PUT", "/api/v1/files/put.lua", { body = answering("put", "well") })
    assert.are.equal(201, status)
    assert.are.equal("well", ask(m, "put"))
    release(m)
  end)

  it("holds up the end for no longer than anything else", function()
    local m = start { bound = 60 }
    m:write("hanging.lua", hanging(m))
    m:await_log("a file takes long to load", 10)
    local began = process.now()
    assert.are.equal(0, m:stop())
    assert.is_true(process.now() - began < 3)
  end)

  it("holds up the end of one that has left a loader behind for nothing", function()
    local m = start()
    m:write("hanging.lua", hanging(m))
    m:await_fault("hanging.lua", "does not come back")
    local began = process.now()
    assert.are.equal(0, m:stop())
    assert.is_true(process.now() - began < 3)
    assert.is_nil(io.open(m.control), "the control socket is still there")
    assert.matches('msg="stopped"', m:log())
  end)

  it("when it is the config, is at fault as well, and the routes go on", function()
    local m = start()
    local text = process.read(m.config_path)
    process.write(m.config_path, ("io.open(%q)\n%s"):format(m.fifo, text))
    m:write("a.lua", answering("a", "two"))
    await_answer(m, "a", "two")
    local result = m:reload()
    assert.are.equal(1, result.status)
    assert.matches("moongate%.lua: does not come back", result.out .. result.err)
    m:write("a.lua", answering("a", "three"))
    await_answer(m, "a", "three")
    -- It is not run again while it is as it was, and costs no further loader.
    local began = process.now()
    for _ = 1, 6 do
      result = m:reload()
      assert.are.equal(1, result.status)
      assert.matches("moongate%.lua: does not come back", result.out .. result.err)
    end
    assert.is_true(process.now() - began < 6 * BOUND)
    assert.are.equal(1, m:status().reload.lost_loaders)
    -- Changed, if only by name, it is run again.
    os.execute("touch " .. m.config_path)
    assert.are.equal(1, m:reload().status)
    assert.are.equal(2, m:status().reload.lost_loaders)
    process.write(m.config_path, text)
    assert.are.equal(0, m:reload().status)
    -- And once what hung in it has come back.
    process.write(m.config_path, ("io.open(%q)\n%s"):format(m.fifo, text))
    assert.are.equal(1, m:reload().status)
    local writer = assert(io.open(m.fifo, "r+"))
    process.wait_for(function()
      return m:status().reload.lost_loaders == 0
    end)
    assert.are.equal(0, m:reload().status)
    writer:close()
  end)

  it("can hang beside three others; then what is to be loaded waits, and says so", function()
    local m = start()
    for i = 1, 5 do
      m:write(("hanging%d.lua"):format(i), hanging(m, "hanging" .. i))
    end
    m:await_log("nothing can be loaded: 5 loaders hang", 5 * BOUND + 15)
    local status, body = m:request("PUT", "/api/v1/files/put.lua", { body = answering("put", "well") })
    assert.are.equal(503, status)
    local result = m:reload()
    assert.are.equal(1, result.status)
    local command = moongate.command { "status", "--control", m.control }
    assert.matches("5 threads hang", command.out)
    -- A restart alone would run into them again: all of these say what to do, and to which files.
    for _, text in ipairs { m:log(), body, result.out .. result.err, command.out } do
      local line = text:gsub("%s+", " "):match "remove or mend them, then restart: (.*)"
      assert.truthy(line, text)
      for i = 1, 5 do
        assert.matches(("/hanging%d%%.lua"):format(i), line)
      end
    end
    assert.are.equal(5, #m:status().reload.lost_files)
    assert.are.equal("one", ask(m, "a"))
    m:write("a.lua", answering("a", "two"))
    release(m)
    await_answer(m, "a", "two")
  end)

  describe("at the start", function()
    it("is left out, and the others are served", function()
      local space = workspace()
      process.write(space.directory .. "/routes/a.lua", answering("a", "one"))
      process.write(space.directory .. "/routes/hanging.lua", hanging(space))
      local m = moongate.start { space = space }
      assert.are.equal("one", ask(m, "a"))
      assert.are.equal("absent", m:files()["hanging.lua"].state)
      m:await_log("the file has no good version, and is left out[^\n]* file=[^ ]*/hanging%.lua[^\n]*does not come back")
      release(m)
    end)

    it("keeps its last good version", function()
      local m = start()
      process.wait_for(function()
        return process.read(m.directory .. "/state/last-good/a.lua") ~= ""
      end)
      m:stop()
      process.write(m.directory .. "/routes/a.lua", hanging(m, "a"))
      local again = moongate.start { space = m }
      assert.are.equal("last_good", again:files()["a.lua"].state)
      assert.are.equal("one", ask(again, "a"))
      release(again)
    end)

    it("keeps it from starting when it is strict, or when there are too many", function()
      local space = workspace()
      process.write(space.directory .. "/routes/a.lua", hanging(space, "a"))
      local m = moongate.start { space = space, flags = { "--strict" }, ready = false }
      m.may_fail = true
      assert.are.equal(1, m.process:wait(BOUND + 10))
      assert.matches("a%.lua: does not come back", m:log())
      for i = 1, 5 do
        process.write(("%s/routes/h%d.lua"):format(space.directory, i), hanging(space, "h" .. i))
      end
      os.remove(space.directory .. "/routes/a.lua")
      m = moongate.start { space = space, ready = false }
      m.may_fail = true
      assert.are.equal(1, m.process:wait(5 * BOUND + 15))
      assert.matches("h1%.lua: does not come back", m:log())
      assert.matches("h5%.lua: does not come back", m:log())
      assert.matches("nothing can be loaded: 5 loaders hang[^\n]*remove or mend them[^\n]*/h1%.lua", m:log())
    end)

    it("is ended by a signal like any other program", function()
      local space = workspace { bound = 60 }
      process.write(space.directory .. "/routes/a.lua", hanging(space, "a"))
      local m = moongate.start { space = space, ready = false }
      m.may_fail = true
      m:await_log("a file takes long to load", 10)
      m.process:signal "SIGTERM"
      assert.are.equal("signal 15", m.process:wait(2))
    end)

    it("is told by the admin interface, which answers, and changes nothing before the start", function()
      local space = workspace { bound = 60, admin = true }
      process.write(space.directory .. "/routes/a.lua", hanging(space, "a"))
      local m = moongate.start { space = space, ready = false }
      m.may_fail = true
      m:await_log("a file takes long to load", 10)
      for _, options in ipairs { {}, { tcp = true } } do
        assert.are.equal(200, (m:request("GET", "/healthz", options)))
        local status, body = m:request("GET", "/readyz", options)
        assert.are.equal(503, status)
        assert.matches("^not ready: moongate is starting[^\n]*\nloading [^ ]*/routes/a%.lua for %d+s\n$", body)
        assert.are.equal(503, (m:request("GET", "/metrics", options)))
      end
      local command = moongate.command { "status", "--control", m.control }
      assert.are.equal(0, command.status)
      assert.matches("state +starting, loading [^ ]*/routes/a%.lua for %ds\n", command.out)
      local state = m:status()
      assert.are.same({ true, false, false }, { state.starting, state.ready, state.draining })
      assert.matches("/routes/a%.lua$", state.loading.file)
      for _, call in ipairs {
        { "PUT", "/api/v1/files/b.lua", 409 },
        { "DELETE", "/api/v1/files/a.lua", 409 },
        { "POST", "/api/v1/reload", 503 },
        { "POST", "/api/v1/drain", 503 },
        { "GET", "/api/v1/routes", 503 },
        { "GET", "/api/v1/connections", 503 },
        { "GET", "/api/v1/addresses", 503 },
      } do
        local status, body = m:request(call[1], call[2], { body = call[1] == "PUT" and "return {}" or "" })
        assert.are.equal(call[3], status, call[2] .. ": " .. tostring(body))
        assert.matches("moongate is starting", cjson.decode(body).error.message)
      end
      command = moongate.command { "reload", "--control", m.control }
      assert.are.equal(1, command.status)
      assert.matches("moongate is starting", command.out .. command.err)
      m.process:signal "SIGTERM"
      assert.are.equal("signal 15", m.process:wait(2))
    end)

    it("keeps the token while it hangs", function()
      local space = workspace { bound = 60, admin = true }
      local text = process.read(space.config_path)
      process.write(space.config_path, (text:gsub("admin = {", "admin = { token = 'secret-of-the-spec',")))
      process.write(space.directory .. "/routes/a.lua", hanging(space, "a"))
      local m = moongate.start { space = space, ready = false }
      m.may_fail = true
      m:await_log("a file takes long to load", 10)
      assert.are.equal(503, (m:request("GET", "/readyz", { tcp = true })))
      assert.are.equal(401, (m:request("GET", "/api/v1/status", { tcp = true })))
      m.process:signal "SIGTERM"
      assert.are.equal("signal 15", m.process:wait(2))
    end)

    it("has a signal for a reload and for a snapshot wait for its end", function()
      local space = workspace { bound = 60 }
      process.write(space.directory .. "/routes/a.lua", hanging(space, "a"))
      local m = moongate.start { space = space, ready = false }
      m:await_log("a file takes long to load", 10)
      m.process:signal "SIGHUP"
      m.process:signal "SIGUSR1"
      assert.are.equal(503, (m:get "/readyz"))
      process.write(space.directory .. "/routes/a.lua", answering("a", "two"))
      release(m)
      await_answer(m, "a", "two")
      m:await_log("a snapshot of the connections[^\n]* trigger=signal", 10)
    end)

    it("is named when it is the config", function()
      local space = workspace()
      process.write(space.config_path, ("io.open(%q)\n return {}"):format(space.fifo))
      local m = moongate.start { space = space, ready = false }
      m.may_fail = true
      assert.are.equal(1, m.process:wait(20))
      assert.matches("moongate%.lua: does not come back", m:log())
    end)
  end)

  it("is a fault that moongate check names, and so with explain --config", function()
    local space = workspace()
    process.write(space.directory .. "/routes/a.lua", answering("a", "one"))
    process.write(space.directory .. "/routes/b.lua", hanging(space))
    local result = moongate.command({ "check", moongate.files_of(space) }, { seconds = BOUND + 10 })
    assert.are.equal(1, result.status)
    assert.matches("/b%.lua: does not come back", result.out)
    assert.matches("1 fault\n$", result.out)
    result = moongate.command({ "explain", "443", moongate.files_of(space) }, { seconds = BOUND + 10 })
    assert.are_not.equal("timeout", result.status)
    assert.matches("b%.lua: does not come back", result.out .. result.err)
  end)
end)
