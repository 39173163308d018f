-- SPDX-License-Identifier: MIT
--
-- What scripts open: it leaves the descriptors that are kept for who looks and who changes something, is refused as
-- io.open refuses, counted and told, and what was forgotten is closed before.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("what scripts open", function()
  after_each(moongate.finish)

  -- Runs each line with a table of its own, `kept`, and answers what comes of it.
  local RUN = [[
    local kept = {}
    function keep(...) kept[#kept + 1] = (...) return ... end
    function forget() kept = {} end
    -- How many of what open() gives there are until it gives none, and what it gives then.
    function fill(open)
      for i = 0, 2000 do
        local results = { pcall(open, i) }
        if not results[1] then return i, results[2] end
        if not results[2] then return i, results[3], results[4] end
        keep(results[2])
      end
      return "no end"
    end
    local function show(_, ...)
      local texts = {}
      for i = 1, select("#", ...) do texts[i] = tostring((select(i, ...))) end
      return table.concat(texts, " ")
    end
    return { name = "run", match = { ports = 0 }, action = { handler = function(socket)
      for line in socket:lines() do
        socket:send(show(pcall(assert(load("return " .. line, "=line")))):gsub("\n.*", "") .. "\n")
      end
    end } }
  ]]

  local function start(options)
    options.routes = options.routes or { ["run.lua"] = RUN }
    options.admin, options.workers = true, options.workers or 1
    local m = moongate.start(options)
    local client = net.connect(m:port "run")
    return m, function(line)
      return net.ask(client, line)
    end
  end

  local function assert_tended(m)
    assert.are.equal(200, (m:get "/healthz"))
    local probe = assert(net.connect(m.admin))
    probe:send "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"
    assert.truthy(probe:receive_line():find("200", 1, true))
    probe:close()
    local generation = m:generation()
    m:write("more.lua", "return { name = 'more', match = { ports = 0 }, action = { target = 'localhost:1' } }")
    m:await_generation(generation + 1)
    m:delete "more.lua"
    m:await_generation(generation + 2)
  end

  local FILES = {
    ["io.open"] = "io.open('/dev/null')",
    ["io.tmpfile"] = "io.tmpfile()",
    ["io.input"] = "io.input('/dev/null')",
    ["io.output"] = "io.output('/dev/null')",
    ["io.lines"] = "io.lines('/dev/null')",
  }

  for name, call in pairs(FILES) do
    it(name .. " leaves those that are kept, and closes what was forgotten first", function()
      local m, ask = start { nofile = 120, config = "limits = { open_files = 1000 }" }
      local answer = ask(("fill(function() return %s end)"):format(call))
      local count = tonumber(answer:match "^%d+")
      assert.truthy(count and count > 20 and count < 105, answer)
      assert.truthy(answer:find("Too many open files", 1, true), answer)
      if name == "io.open" then
        assert.truthy(answer:find("/dev/null: Too many open files 24", 1, true), answer)
      end
      for _ = 1, 20 do
        ask(call)
      end
      assert_tended(m)
      assert.truthy(m:metric 'errors_total{type="no_descriptors"}' >= 1)
      local log = m:log()
      local _, lines = log:gsub("a script can't open a file", "")
      assert.truthy(lines >= 1 and lines <= 20, log)
      assert.truthy(log:find("route=run file=run.lua at=", 1, true), log)
      ask "forget()"
      process.wait_for(function()
        return ask(("pcall(function() return %s end)"):format(call)):find "^true"
      end, 5, "what was forgotten to be closed")
      assert.are.equal("fine", ask(("(function() for _ = 1, 300 do %s end io.input(io.stdin) io.output(io.stdout) "
        .. "return 'fine' end)()"):format(name == "io.open" and "assert(" .. call .. ")" or call)))
    end)
  end

  it("is bounded by limits.open_files, for each file of routes", function()
    local m, ask = start { config = "limits = { open_files = 10 }" }
    assert.are.equal("10 /dev/zero: Too many open files 24", ask "fill(function() return io.open('/dev/zero') end)")
    assert.are.equal("nil Too many open files 24", ask "io.tmpfile()")
    assert.are.equal("/dev/null: Too many open files", ask "io.lines('/dev/null')")
    assert.are.equal("true", ask "io.write()")
    assert.are.equal(0, m:metric 'errors_total{type="no_descriptors"}')
    assert.are.equal(3, m:metric 'errors_total{type="open_files"}')
    assert.truthy(m:log():find("limits.open_files is 10", 1, true), m:log())
    for _ = 1, 2 do
      ask "forget()"
      process.wait_for(function()
        return ask("fill(function() return io.open('/dev/null') end)"):find("^10 ")
      end, 5, "what was forgotten to be closed")
    end
    ask "forget()"
    process.wait_for(function()
      return ask("io.open('/dev/null')"):find "^file"
    end, 5, "what was forgotten to be closed")
    assert.are.equal("2000 true", ask("(function() local n = 0 for _ = 1, 2000 do "
      .. "local f = io.open('/dev/null') n = n + 1 if n % 2 == 0 then f:close() else io.close(f) end end "
      .. "return n, io.type(io.output()) == 'file' end)()"))
  end)

  it("is bounded where files are compiled too, and where they are loaded", function()
    local m = moongate.start {
      nofile = 120,
      admin = true,
      config = "script = { jit = { 'fast.lua' } }, limits = { open_files = 1000 }",
      routes = {
        ["fine.lua"] = moongate.front "target = 'localhost:1'",
        ["fast.lua"] = "local kept = {} while true do kept[#kept + 1] = assert(io.open '/dev/null') end",
        ["slow.lua"] = "local kept = {} while true do kept[#kept + 1] = assert(io.open '/dev/null') end",
      },
    }
    assert_tended(m)
    assert.truthy(m:log():find("slow.lua line=1 error=\"/dev/null: Too many open files\"", 1, true), m:log())
    assert.truthy(m:log():find("fast.lua line=1 error=\"/dev/null: Too many open files\"", 1, true), m:log())
  end)

  it("connects within it as well, to names too, and says so", function()
    local listener = net.listen()
    local m, ask = start { nofile = 120, config = "limits = { open_files = 1000 }" }
    local answer = ask("fill(function() return moongate.connect('127.0.0.1', " .. listener:port() .. ") end)")
    assert.truthy(answer:find("no file descriptors left", 1, true), answer)
    answer = ask("fill(function() return moongate.connect('localhost', " .. listener:port() .. ") end)")
    assert.truthy(answer:find("no file descriptors left", 1, true), answer)
    assert_tended(m)
    assert.truthy(m:metric 'errors_total{type="no_descriptors"}' >= 1)
    assert.truthy(m:log():find("a script can't connect", 1, true), m:log())
    ask "forget()"
    process.wait_for(function()
      local again = ask("moongate.connect('127.0.0.1', " .. listener:port() .. ")")
      return again:find "tcp" or again:find "socket"
    end, 10, "sockets that were forgotten to be closed")
  end)

  it("takes the arguments that LuaJIT's functions take", function()
    local _, ask = start {}
    for _, asked in ipairs { -- in order: the one of /dev/null leaves another input behind
      { "pcall(io.open)", "false bad argument #1 to 'open' (string expected, got no value)" },
      { "pcall(io.open, {})", "false bad argument #1 to 'open' (string expected, got table)" },
      { "pcall(io.open, 'x', {})", "false bad argument #2 to 'open' (string expected, got table)" },
      { "io.open('/nowhere/x')", "nil /nowhere/x: No such file or directory 2" },
      { "pcall(io.input, '/nowhere/x')", "false /nowhere/x: No such file or directory" },
      { "pcall(io.output, '/nowhere/x')", "false /nowhere/x: No such file or directory" },
      { "io.input() == io.stdin, io.output() == io.stdout", "true true" },
      { "io.input(io.stdin) == io.stdin", "true" },
      { "(function() local f = io.tmpfile() f:close() return pcall(f.close, f) end)()",
        "false attempt to use a closed file" },
      { "pcall(io.close, 1)", "false bad argument #1 to 'close' (FILE* expected, got number)" },
      { "io.type(io.input('/dev/null')), io.read(), io.close(io.input())", "file nil true" },
    } do
      assert.are.equal(asked[2], ask(asked[1]), asked[1])
    end
  end)
end)
