-- SPDX-License-Identifier: MIT
--
-- `moongate test`: busted's output, options and exit status, in the runtime.

local moongate = require "spec.support.moongate"
local process = require "spec.support.process"

describe("moongate test", function()
  local directory

  before_each(function()
    directory = process.directory()
    assert(require("lfs").mkdir(directory .. "/spec"))
  end)
  after_each(moongate.finish)

  local function write(name, text)
    process.write(directory .. "/" .. name, text)
  end

  local function test(...)
    return process.run({ moongate.binary, "test", ... }, { cwd = directory, timeout = 30 })
  end

  it("runs spec/ by itself, and ends with 0 when all is well", function()
    write("spec/a_spec.lua", 'it("is one", function() moongate.sleep(0.001) end)')
    write("spec/b_spec.lua", 'it("is two", function() assert.truthy(moongate.version) end)')
    write("spec/helper.lua", 'error "this is no spec"')
    local answer = test("-o", "TAP")
    assert.are.equal(0, answer.status, answer.out .. answer.err)
    assert.matches("ok 1 - is one\nok 2 - is two", answer.out, 1, true)
  end)

  it("ends with 1 when one fails, and says where", function()
    write("spec/a_spec.lua", 'it("is one", function()\n  assert.equal(1, 2)\nend)')
    local answer = test("-o", "TAP")
    assert.are.equal(1, answer.status)
    assert.matches("spec/a_spec.lua:2: Expected", answer.out, 1, true)
  end)

  it("ends with 1 for a file that does not compile", function()
    write("spec/a_spec.lua", "it(")
    assert.are.equal(1, test().status)
  end)

  it("takes busted's options: tags, filters, files, helpers", function()
    write(
      "spec/a_spec.lua",
      'it("one #slow", function() print "ran one" end)\nit("two", function() print("ran two", helped) end)'
    )
    write("spec/b_spec.lua", 'it("three", function() print "ran three" end)')
    write("help.lua", 'helped = "by a helper"')
    local out = test("--tags", "slow").out
    assert.matches("ran one", out, 1, true)
    assert.not_matches("ran two", out, 1, true)
    out = test("--exclude-tags=slow", "--helper=help.lua", "spec/a_spec.lua").out
    assert.not_matches("ran one", out, 1, true)
    assert.matches("ran two\tby a helper", out, 1, true)
    assert.not_matches("ran three", out, 1, true)
    out = test("--filter", "thr").out
    assert.matches("ran three", out, 1, true)
    assert.not_matches("ran two", out, 1, true)
  end)

  it("reads .busted", function()
    write(".busted", 'return { default = { ROOT = { "checks" }, pattern = "_check" } }')
    assert(require("lfs").mkdir(directory .. "/checks"))
    write("checks/a_check.lua", 'it("is found", function() end)')
    local answer = test("-o", "TAP")
    assert.are.equal(0, answer.status, answer.err)
    assert.matches("ok 1 - is found", answer.out, 1, true)
  end)

  it("explains itself, with the options of busted and its own", function()
    local answer = test "--help"
    assert.are.equal(0, answer.status, answer.err)
    assert.matches("Usage: moongate test", answer.out, 1, true)
    assert.matches("--exclude-tags", answer.out, 1, true)
    assert.matches("--timeout=SECONDS", answer.out, 1, true)
  end)

  it("says what is wrong with the command line", function()
    local answer = test("--no-such-option")
    assert.are.equal(2, answer.status)
    assert.matches("bad flag: --no-such-option", answer.err, 1, true)
    answer = test("--timeout", "soon")
    assert.are.equal(2, answer.status)
    assert.matches("--timeout: expected", answer.err, 1, true)
  end)

  it("ends a test that waits for ever, at the line where it waits, and goes on", function()
    write(
      "spec/a_spec.lua",
      [[
      local testing = require "moongate.testing"
      it("waits", function()
        local c = testing.call(function(socket) socket:receive() end)
        c:receive "*l"
      end)
      it("goes on", function() testing.clock.advance("1h") end)
    ]]
    )
    local answer = test("--timeout=200ms", "-o", "TAP")
    assert.are.equal(1, answer.status)
    assert.matches("spec/a_spec.lua:4: waited longer than 0.2s here (--timeout)", answer.out, 1, true)
    assert.matches("ok 2 - goes on", answer.out, 1, true)
  end)

  it("ends a test, or what it calls, that runs for ever, at its line, and goes on", function()
    write(
      "spec/a_spec.lua",
      [[
      local testing = require "moongate.testing"
      it("loops", function()
        while true do end
      end)
      it("backtracks", function()
        local _ = ("a"):rep(90):find(("a*"):rep(14) .. "b")
      end)
      it("backtracks in a handler", function()
        local c = testing.call(function(socket)
          socket:send(socket:receive("*l"):rep(90):match(("a*"):rep(14) .. "b"))
        end)
        c:send "a\n"
        c:receive "*l"
      end)
      it("nests", function()
        local expand
        function expand(text)
          return (text:gsub("%b()", function(x) return expand(x:sub(2, -2)) end))
        end
        assert.equal("x", expand(("("):rep(1000) .. "x" .. (")"):rep(1000)))
        local fine, message = pcall(expand, ("("):rep(20000) .. "x" .. (")"):rep(20000))
        assert.is_false(fine)
        assert.matches("stack overflow", message, 1, true)
      end)
      it("goes on", function() assert.equal("a", ("ba"):match "a*$") end)
    ]]
    )
    local answer = test("--timeout=3", "-o", "TAP")
    assert.are.equal(1, answer.status)
    for _, line in ipairs { 3, 6, 10 } do
      local message = ("spec/a_spec.lua:%d: ran longer than 3s here without waiting (--timeout)"):format(line)
      assert.matches(message, answer.out .. answer.err, 1, true)
    end
    assert.matches("ok 4 - nests", answer.out, 1, true)
    assert.matches("ok 5 - goes on", answer.out, 1, true)
  end)

  it("fails a test whose own spawned functions and timers raise, unless it joins them", function()
    write(
      "spec/a_spec.lua",
      [[
      it("spawns", function()
        moongate.spawn(function(x) error(x) end, "the first")
        moongate.sleep(0.001)
      end)
      it("joins", function()
        local task = moongate.spawn(function() moongate.sleep(0.001) error "the second" end)
        assert.is_nil((task:join()))
        task = moongate.spawn(function() error "the third" end)
        moongate.sleep(0.001)
        assert.same({ nil, "spec/a_spec.lua:8: the third" }, { task:join() })
        assert.same({ 1, nil, 3 }, { moongate.spawn(function(...) return ... end, 1, nil, 3):join() })
      end)
      it("has a timer", function()
        moongate.after(0.001, function() assert.equal(1, 2) end)
        moongate.sleep(0.01)
      end)
      it("leaves one", function() moongate.spawn(function() moongate.sleep(0.01) error "the fourth" end) end)
      it("finds one", function() moongate.sleep(0.05) end)
      it("spawns no function", function() moongate.spawn(5) end)
      describe("after", function()
        after_each(function() moongate.spawn(error, "the fifth") moongate.sleep(0.001) end)
        it("is well", function() end)
      end)
    ]]
    )
    local answer = test("-o", "TAP")
    local out = answer.out
    assert.are.equal(1, answer.status)
    assert.matches("not ok 1 - spawns", out, 1, true)
    assert.matches("spec/a_spec.lua:2: the first\n# (raised in what moongate.spawn began)\n# \t[C]: in", out, 1, true)
    assert.matches("\nok 2 - joins", out, 1, true)
    assert.matches("not ok 3 %- has a timer\n[^\n]*\n[^\n]*spec/a_spec.lua:14: Expected objects to be equal", out)
    assert.matches("\nok 4 - leaves one", out, 1, true)
    assert.matches("spec/a_spec.lua:17: the fourth\n# (raised in what moongate.spawn began in the test", out, 1, true)
    assert.matches("spec/a_spec.lua:19: bad argument #1 to 'moongate.spawn'", out, 1, true)
    assert.matches("\nok 7 - after is well", out, 1, true)
    assert.matches("moongate.testing: the fifth\n(raised in", answer.err, 1, true)
    assert.are.equal(1, test("--filter", "is well").status)
    assert.are.equal(0, test("--filter", "joins").status)
  end)

  it("ends with 1 when no test was run, and says so", function()
    write("spec/a_spec.lua", 'it("is one", function() end)\npending("later")')
    for _, words in ipairs { { "--filter", "nothing" }, { "--tags=slow" } } do
      local answer = test(unpack(words))
      assert.are.equal(1, answer.status, words[1])
      assert.matches("no test was run: none matches what the command line", answer.err, 1, true)
    end
    for _, words in ipairs { { "--filter", "later" }, { "--list" }, { "--version" }, { "--filter", "one" } } do
      assert.are.equal(0, test(unpack(words)).status, words[1])
    end
  end)

  it("tells a handler's failure as the test's", function()
    write(
      "spec/a_spec.lua",
      [[
      local testing = require "moongate.testing"
      it("asserts in the handler", function()
        local c = testing.call(function(socket)
          assert.equal("moon", socket:receive "*l")
        end)
        c:send "sun\n"
        c:receive "*l"
      end)
      it("never looks", function()
        testing.call(function() error "nobody asks" end)
        moongate.sleep(0.01)
      end)
      it("spawns", function()
        testing.call(function()
          moongate.spawn(function() error "far away" end)
          moongate.sleep(0.01)
        end):wait()
      end)
    ]]
    )
    local answer = test "-o=plainTerminal"
    assert.are.equal(1, answer.status)
    assert.matches("0 successes / 1 failure / 2 errors", answer.out, 1, true)
    assert.matches("spec/a_spec.lua:4: Expected objects to be equal", answer.out, 1, true)
    assert.matches("spec/a_spec.lua:10: nobody asks", answer.out, 1, true)
    assert.matches("spec/a_spec.lua:15: far away", answer.out, 1, true)
  end)

  it("stops what a file has left running, and shows the errors that nobody has read", function()
    write(
      "spec/a_spec.lua",
      [[
      local testing = require "moongate.testing"
      it("leaves it", function()
        local m = testing.start({ routes = {
          { name = "bad", match = { ports = 1 }, action = { handler = function() error "unseen" end } },
        } })
        m:connect("bad"):receive "*a"
      end)
    ]]
    )
    local answer = test()
    assert.are.equal(0, answer.status, answer.out)
    assert.matches("moongate.testing: .*unseen", answer.err)
  end)

  it("takes os.exit in a spec as the end of the run", function()
    write("spec/a_spec.lua", 'it("leaves", function() os.exit(3) end)')
    assert.are_not.equal(0, test().status)
  end)

  -- The Lua of a page whose first line is the comment "-- PATH…".
  local function example(page, path)
    for block in process.read(page):gmatch "```lua\n(.-)```" do
      if block:find("-- " .. path, 1, true) == 1 then
        return block
      end
    end
    error(page .. " has no " .. path)
  end

  it("runs what the pages print", function()
    assert(require("lfs").mkdir(directory .. "/routes"))
    write("routes/greeter.lua", example("README.md", "routes/greeter.lua"))
    write("spec/greeter_spec.lua", example("docs/testing.md", "spec/greeter_spec.lua"))
    write("spec/short_spec.lua", example("README.md", "spec/greeter_spec.lua"))
    local answer = test "-o=plainTerminal"
    assert.are.equal(0, answer.status, answer.out .. answer.err)
    assert.matches("3 successes", answer.out, 1, true)
  end)

  it("says what to install where there is no busted", function()
    write("spec/a_spec.lua", 'it("is one", function() end)')
    local answer = process.run(
      { moongate.binary, "test" },
      { cwd = directory, env = { LUA_PATH = "/nowhere/?.lua" } }
    )
    assert.are.equal(1, answer.status)
    assert.matches("apt-get install lua-busted", answer.err, 1, true)
  end)

  it("is for specs alone: moongate.testing says so elsewhere", function()
    assert(require("lfs").mkdir(directory .. "/routes"))
    write("routes/a.lua", 'require "moongate.testing"\nreturn {}')
    local answer = process.run({ moongate.binary, "check" }, { cwd = directory })
    assert.are.equal(1, answer.status)
    assert.matches("routes/a.lua:1: ", answer.out .. answer.err, 1, true)
  end)
end)
