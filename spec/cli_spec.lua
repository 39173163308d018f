-- SPDX-License-Identifier: MIT

describe("moongate.cli", function()
  local cli, native, control, called, out, err
  local stdout, stderr = io.stdout, io.stderr

  local function sink()
    local parts = {}
    return {
      write = function(self, ...)
        for _, part in ipairs({ ... }) do
          parts[#parts + 1] = tostring(part)
        end
        return self
      end,
      text = function()
        return table.concat(parts)
      end,
    }
  end

  -- The exit status, what went to standard output, and to standard error.
  local function run(...)
    out, err = sink(), sink()
    rawset(io, "stdout", out)
    rawset(io, "stderr", err)
    local fine, status = pcall(cli.main, ...)
    rawset(io, "stdout", stdout)
    rawset(io, "stderr", stderr)
    assert.is_true(fine, status)
    return status, out.text(), err.text()
  end

  setup(function()
    native = {}
    control = {}
    package.loaded["moongate.native"] = native
    package.loaded["moongate.control"] = control
    package.loaded["moongate"] = { version = "1.2.3", spawn = function() end }
    cli = require("moongate.cli")
  end)

  teardown(function()
    for name in pairs(package.loaded) do
      if type(name) == "string" and name:match("^moongate%.?") then
        package.loaded[name] = nil
      end
    end
  end)

  before_each(function()
    called = nil
    native.run = function(options)
      called = options
      return 0
    end
    native.check = function(options)
      called = options
      return { faults = {}, warnings = {}, files = 1, routes = 2 }
    end
  end)

  it("runs with the options that were given, and returns what run returned", function()
    assert.are.equal(
      0,
      (run("run", "--config", "c.lua", "--routes", "r", "--workers", "3", "--strict", "--control", "/c"))
    )
    assert.are.same({ config = "c.lua", routes = "r", workers = 3, strict = true, control = "/c" }, called)
    native.run = function()
      return 1
    end
    assert.are.equal(1, (run("run")))
  end)

  it("takes the control socket before and after the command", function()
    run("--control", "/x", "run")
    assert.are.equal("/x", called.control)
    run("run", "--control", "/y")
    assert.are.equal("/y", called.control)
  end)

  it("exits 2 with the usage on standard error when the command line is wrong", function()
    for _, arguments in ipairs({
      { "bogus" },
      { "run", "--bogus" },
      { "run", "--workers", "0" },
      { "run", "--workers", "257" },
      { "run", "--workers", "1.5" },
      { "run", "--config" },
      { "status", "extra" },
      { "--control" },
      { "--control", "/x" },
    }) do
      local status, printed, said = run(unpack(arguments))
      assert.are.equal(2, status)
      assert.are.equal("", printed)
      assert.truthy(said:find("Usage: moongate", 1, true))
      assert.is_nil(called)
    end
  end)

  it("takes help as a word, for itself and for each command, and --version", function()
    for _, pair in ipairs({ { { "help" }, "First steps:" }, { { "help", "run" }, "--strict" } }) do
      local status, printed = run(unpack(pair[1]))
      assert.are.equal(0, status)
      assert.truthy(printed:find(pair[2], 1, true), printed)
    end
    native.defaults = function()
      return {}
    end
    local status, printed = run("--version")
    assert.are.equal(0, status)
    assert.truthy(printed:find("moongate 1.2.3", 1, true), printed)
  end)

  it("names the nearest command for one that is none", function()
    for wrong, meant in pairs({ statu = "status", conn = "conns", ["re-load"] = "reload", Explain = "explain" }) do
      local status, printed, said = run(wrong)
      assert.are.equal(2, status)
      assert.are.equal("", printed)
      local wanted = ("there is no command '%s': did you mean `moongate %s`?"):format(wrong, meant)
      assert.truthy(said:find(wanted, 1, true), said)
    end
    for wrong, meant in pairs({ stop = "drain", connections = "conns", list = "conns", validate = "check" }) do
      local said = select(3, run(wrong))
      assert.truthy(said:find(("did you mean `moongate %s`?"):format(meant), 1, true), said)
    end
    assert.truthy(select(3, run("--control", "/c", "frobnicate")):find("`moongate help` lists them", 1, true))
  end)

  it("names the nearest option for one that is none", function()
    local status, _, said = run("conns", "--stukc")
    assert.are.equal(2, status)
    assert.truthy(said:find("unknown option '--stukc': did you mean '--stuck'?", 1, true), said)
    assert.truthy(select(3, run("-c")):find("unknown option '-c': did you mean `moongate check`?", 1, true))
    assert.truthy(select(3, run("-x")):find("unknown option '-x': options are whole words", 1, true))
  end)

  it("says of the commands of a later version that they are", function()
    for _, name in ipairs { "top", "targets", "certs" } do
      local status, printed, said = run(name, "--json")
      assert.are.same({ 2, "" }, { status, printed })
      assert.truthy(said:find(("the command '%s' is not in this version"):format(name), 1, true), said)
    end
  end)

  it("shows the way in 80 columns, and lists what is there", function()
    local _, printed = run("help")
    for line in printed:gmatch("[^\n]+") do
      assert.is_true(#line:gsub("…", ".") <= 80, line)
    end
    local alone = { check = true, version = true, test = true }
    for name in printed:gmatch("\n  (%l+)  ") do
      local status, help = run(name, "--help")
      alone[name] = alone[name] or name == "help" and not help:find("--control PATH", 1, true)
      assert.are.equal(0, status, name)
      assert.are.equal(not alone[name], help:find("--control PATH", 1, true) ~= nil, name)
    end
  end)

  it("asks the API what the options say", function()
    local asked
    control.get = function(path, target)
      asked = { path, target }
      return 200, { total = 0, open = 3, complete = true, connections = {}, routes = {} }, "{}\n"
    end
    local status, printed = run("conns", "--stuck", "--client", "10.0.0.0/8", "--older", "5m", "--control", "/c")
    assert.are.equal(0, status)
    assert.are.same({ "/c", "/api/v1/connections?stuck=1&client=10.0.0.0%2F8&older=5m&limit=1000" }, asked)
    assert.are.equal("none is stuck (3 open)\n", printed)
    control.get = function()
      local stuck = { { number = 1, seconds = 4 } }
      return 200, { total = 0, open = 3, complete = false, stuck = stuck, connections = {}, routes = {} }, "{}\n"
    end
    status, printed = run("conns", "--stuck")
    assert.are.equal(1, status)
    assert.are.equal("not known: worker 1 is stuck for 4s: its connections are missing\n"
      .. "none known to be stuck (3 open on the other workers)\n", printed)
    control.get = function(path, target)
      asked = { path, target }
      return 200, { total = 0, open = 3, complete = true, connections = {}, routes = {} }, "{}\n"
    end
    run("routes", "--port", "443", "--limit", "5", "--offset", "10")
    assert.are.equal("/api/v1/routes?port=443&limit=5&offset=10", asked[2])
    status, printed = run("conns", "--json")
    assert.are.equal(0, status)
    assert.are.equal("{}\n", printed)
    local wrong = {
      { "conns", "--older", "x" }, { "conns", "--sort", "x" }, { "routes", "--port", "70000" },
      { "conns", "--limit", "-1" }, { "addresses", "--offset", "-1" }, { "conns", "--watch", "0" },
    }
    for _, words in ipairs(wrong) do
      local code, _, why = run(unpack(words))
      assert.are.equal(2, code)
      assert.truthy(why:find(words[2] .. ": expected", 1, true) or words[2] == "--sort", why)
    end
    control.get = function()
      return 400, { error = { status = 400, message = "client: not an address" } }, "{}\n"
    end
    local said
    status, printed, said = run("conns", "--client", "x")
    assert.are.same({ 2, "", "moongate: client: not an address\n" }, { status, printed, said })
  end)

  it("keeps the control socket in the commands that it suggests", function()
    control.get = function()
      local row = { id = "1-7", client_ip = "192.0.2.7", port = 80, state = "forwarding", age = 1, idle = 1 }
      row.bytes_in, row.bytes_out, row.class = 0, 0, { name = "stuck", seconds = 12 }
      return 200, { total = 1, open = 1, complete = true, connections = { row } }, "{}\n"
    end
    local _, printed = run("conns", "--stuck", "--control", "/a b")
    assert.truthy(printed:find("  moongate --control '/a b' explain 1-7\n", 1, true), printed)
    local format = require("moongate.cli.diagnose").format
    local nothing = { open = 0, by_state = {}, by_route = {}, by_client = {}, by_target = {} }
    local body = { connections = nothing, patterns = {}, workers = {}, trend = {} }
    body.look_at = { { text = "x", command = "moongate status" } }
    assert.truthy(format(body, 80, "/c"):find("-> moongate --control /c status", 1, true))
    assert.truthy(format(body, 80):find("-> moongate status", 1, true))
  end)

  it("says a failure once, of however many words", function()
    control.get = function()
      return nil, "no moongate answers"
    end
    local status, printed, said = run("explain", "foo", "bar", "1-7")
    assert.are.same({ 1, "", "moongate: no moongate answers\n" }, { status, printed, said })
    control.get = function()
      return 200, { total = 0, open = 3, complete = true, connections = {} }, "{}\n"
    end
    status, printed, said = run("explain", "--json", "9-9")
    assert.are.same({ 1, "{}\n" }, { status, printed })
    assert.truthy(said:find("there is no connection 9-9", 1, true), said)
    control.get = function()
      return 400, { error = { status = 400, message = "client_ip: expected an address" } }, "{}\n"
    end
    assert.are.equal(2, (run("explain", "80", "--client", "x")))
  end)

  it("status says what a drain waits for", function()
    control.get = function()
      local connections = { active = 3, total = 9, states = { forwarding = 2, handling = 1, routing = 0 } }
      return 200, { draining = true, ready = false, connections = connections, drain = { seconds = 11.2 } }, "{}"
    end
    local _, printed = run("status")
    assert.truthy(printed:gsub("%s+", " "):find(
      "draining: 3 connections left (2 forwarding, 1 handling), cut in 12s", 1, true), printed)
  end)

  it("a drain's line fits a terminal", function()
    local draining = require("moongate.cli.status").draining
    local states = { routing = 10000, forwarding = 10000, handling = 10000 }
    local body = { connections = { active = 30000, states = states }, drain = { seconds = 599 } }
    assert.are.equal("draining: 30000 connections left, cut in 9m 59s", draining(body, 79))
    body.connections = { active = 2000, states = { forwarding = 1000, handling = 1000 } }
    assert.are.equal("draining: 2000 connections left (1000 forwarding, 1000 handling), cut in 9m 59s",
      draining(body, 79))
  end)

  it("says what is wrong with a number below 0", function()
    local status, _, said = run("run", "--workers", "-1")
    assert.are.equal(2, status)
    assert.truthy(said:find("expected a number from 1 to 256, got '-1'", 1, true), said)
  end)

  it("without a command shows the help, and exits 2", function()
    local status, printed, said = run()
    assert.are.equal(2, status)
    assert.are.equal("", printed)
    assert.truthy(said:find("First steps:", 1, true))
  end)

  it("prints help for itself and for each command, and exits 0", function()
    for _, arguments in ipairs({
      { "--help" },
      { "-h" },
      { "run", "--help" },
      { "check", "-h" },
      { "status", "--help" },
      { "reload", "--help" },
    }) do
      local status, printed, said = run(unpack(arguments))
      assert.are.equal(0, status)
      assert.truthy(printed:find("Usage: moongate", 1, true))
      assert.are.equal("", said)
    end
    assert.is_nil(called)
  end)

  it("check says how much it read when nothing is wrong", function()
    local status, printed = run("check", "--routes", "r")
    assert.are.equal(0, status)
    assert.are.equal("1 file, 2 routes: no fault\n", printed)
    assert.are.same({ routes = "r" }, called)
  end)

  it("check prints each fault on a line, warnings aside, and exits 1", function()
    native.check = function()
      return {
        faults = {
          { file = "routes/a.lua", line = 3, route = "", field = "", message = "syntax" },
          { file = "routes/b.lua", line = 0, route = "api", field = "match.ports", message = "bad" },
        },
        warnings = {
          { file = "moongate.lua", line = 0, route = "", field = "limits.connections", message = "no effect" },
        },
        files = 2,
        routes = 0,
      }
    end
    local status, printed, said = run("check")
    assert.are.equal(1, status)
    assert.are.equal(
      'routes/a.lua:3: syntax\nroutes/b.lua: route "api": match.ports: bad\n2 files, 0 routes: 2 faults\n',
      printed
    )
    assert.are.equal("warning: moongate.lua: limits.connections: no effect\n", said)
    status, printed = run("check", "--json")
    assert.are.equal(1, status)
    local body = require("cjson").decode(printed)
    assert.are.same({ file = "routes/a.lua", line = 3, route = "", field = "", message = "syntax" }, body.faults[1])
    assert.are.equal(2, #body.faults)
  end)

  it("check --json prints an empty list when nothing is wrong", function()
    local status, printed = run("check", "--json")
    assert.are.equal(0, status)
    assert.truthy(printed:find('"faults":[]', 1, true))
  end)

  it("prints the version", function()
    native.defaults = function()
      return { libevent = "2.1.12-stable" }
    end
    local status, printed = run("version")
    assert.are.equal(0, status)
    assert.truthy(printed:match("^moongate 1%.2%.3 %(LuaJIT 2%.1%S*, libevent 2%.1%.12%-stable%)\n$"))
  end)

  it("status prints an aligned overview with the faults of files", function()
    local asked
    control.get = function(path, target)
      asked = { path, target }
      return 200,
        {
          version = "1.2.3",
          uptime = 125,
          user = "daemon",
          user_configured = true,
          workers = 2,
          generation = 1,
          connections = { active = 3, total = 40, states = { closing = 1, forwarding = 2, handling = 0 } },
          bytes = { ["in"] = 1536, out = 10 },
          routes = { {}, {} },
          files = { { file = "a.lua", faults = { { file = "routes/a.lua", line = 2, message = "bad" } } } },
          engine = { name = "nftables", faults = { { message = "another table drops all" } } },
          reload = { phase = "swapping", phase_ms = 3000, engine = "nftables" },
        },
        '{"version":"1.2.3","routes":[]}\n'
    end
    local status, printed = run("status", "--control", "/c.sock")
    assert.are.equal(0, status)
    assert.are.same({ "/c.sock", "/api/v1/status" }, asked)
    assert.are.equal(
      [[
version      1.2.3
uptime       2m 5s
user         daemon
workers      2
generation   1
connections  3 open (2 forwarding, 1 closing), 40 in all
bytes        1.5 KiB in, 10 B out
routes       2
files        1, 1 with faults
reload       waits for the engine nftables
fault: routes/a.lua:2: bad
fault: the engine nftables: another table drops all
]],
      printed
    )
    status, printed = run("status", "--json")
    assert.are.equal(0, status)
    assert.are.equal('{"version":"1.2.3","routes":[]}\n', printed)
  end)

  local function answer_reload(code, body, raw)
    control.request = function(...)
      called = { ... }
      return code, body, raw
    end
  end

  it("reload says what is live now", function()
    local body = { ok = true, generation = 12, ms = 34, changed = { "a.lua", "b.lua" }, removed = {}, faults = {} }
    answer_reload(200, body, '{"ok":true}\n')
    local status, printed, said = run("reload", "--control", "/c.sock")
    assert.are.equal(0, status)
    assert.are.equal("live: generation 12, 2 files changed (a.lua, b.lua), 34 ms\n", printed)
    assert.are.equal("", said)
    assert.are.same({ "/c.sock", "POST", "/api/v1/reload", nil, 300 }, called)
    body.changed, body.removed = {}, { "c.lua" }
    body.notes, body.warnings = { "workers: 2 until the next start" }, { { file = "moongate.lua", message = "hm" } }
    status, printed, said = run("reload")
    assert.are.equal(0, status)
    assert.are.equal("live: generation 12, 1 file removed (c.lua), 34 ms\n", printed)
    assert.are.equal("warning: moongate.lua: hm\na restart is needed: workers: 2 until the next start\n", said)
    body.removed = {}
    assert.are.equal("live: generation 12, no route file has changed, 34 ms\n", (select(2, run("reload"))))
    body.config_changed = true
    assert.are.equal("live: generation 12, the config changed, 34 ms\n", (select(2, run("reload"))))
    for i = 1, 100 do
      body.changed[i] = "f.lua"
    end
    assert.is_true(#select(2, run("reload")) < 200)
  end)

  it("reload prints faults on standard error, and exits 1", function()
    local fault = { file = "routes/b.lua", line = 4, route = "api", field = "match.ports", message = "bad" }
    answer_reload(422, { ok = false, generation = 12, ms = 3, changed = { "a.lua" }, faults = { fault } }, "{}\n")
    local status, printed, said = run("reload")
    assert.are.equal(1, status)
    assert.are.equal("live: generation 12, 1 file changed (a.lua), 3 ms\n", printed)
    assert.are.equal(
      'routes/b.lua:4: route "api": match.ports: bad\nmoongate: 1 fault; what is at fault stays as it was\n',
      said
    )
    answer_reload(422, { ok = false, generation = 12, changed = {}, faults = { fault } }, '{"faults":[{}]}\n')
    assert.are.equal("", (select(2, run("reload"))))
    status, printed, said = run("reload", "--json")
    assert.are.equal(1, status)
    assert.are.equal('{"faults":[{}]}\n', printed)
    assert.are.equal("", said)
  end)

  it("reload says why it could not be done, and exits 1", function()
    local stopping = { file = "", line = 0, route = "", field = "", message = "moongate is stopping" }
    for _, case in ipairs({
      { 422, { ok = false, generation = 0, faults = { stopping } }, "{}", "moongate is stopping" },
      { 503, { ok = false, generation = 0, faults = { stopping } }, "{}", "moongate is stopping" },
      { nil, "no moongate answers", nil, "no moongate answers" },
      { 503, { error = { status = 503, message = "it is stopping" } }, "{}", "it is stopping" },
      { 404, "nothing", "nothing", "/api/v1/reload answered with status 404" },
    }) do
      answer_reload(unpack(case, 1, 3))
      local status, printed, said = run("reload")
      assert.are.equal(1, status)
      assert.are.equal("", printed)
      assert.are.equal("moongate: " .. case[4] .. "\n", said)
    end
  end)

  it("status says why nothing answers, and exits 1", function()
    control.get = function()
      return nil, "no moongate answers on /run/moongate.sock"
    end
    local status, printed, said = run("status")
    assert.are.equal(1, status)
    assert.are.equal("", printed)
    assert.are.equal("moongate: no moongate answers on /run/moongate.sock\n", said)
    control.get = function()
      return 503, "busy"
    end
    assert.are.equal(1, (run("status")))
  end)
end)
