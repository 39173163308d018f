-- SPDX-License-Identifier: MIT
--
-- moongate.regex, in a running moongate: what its methods answer, what it refuses, and that no pattern stalls a worker.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("moongate.regex", function()
  after_each(moongate.finish)

  local function start()
    return moongate.start { routes = moongate.front [[handler = function(socket)
      local function show(...)
        local texts = {}
        for i = 1, select("#", ...) do texts[i] = tostring((select(i, ...))) end
        return table.concat(texts, " ")
      end
      for line in socket:lines() do
        local text = "local function all(...) return ... end local R = moongate.regex return all(" .. line .. ")"
        local chunk = assert(load(text, "=line"))
        socket:send((show(select(2, pcall(chunk))):gsub("\n.*", "")) .. "\n")
      end
    end]] }
  end

  local function expect(answers)
    local client = net.connect(start():port "front")
    for line, answer in pairs(answers) do
      local got = net.ask(client, line)
      if answer:sub(1, 1) == "~" then
        assert.truthy(got:find(answer:sub(2), 1, true), line .. ": " .. got)
      else
        assert.are.equal(answer, got, line)
      end
    end
  end

  it("tests, matches, finds and captures", function()
    expect {
      ["R'^a+$':test 'aaa', R'^a+$':test 'aab'"] = "true false",
      ["R'(\\\\w+)=(\\\\d+)':match 'x=12'"] = "x 12",
      ["R'\\\\d+':match 'x=12'"] = "12",
      ["R'(a)|(b)':match 'b'"] = "nil b",
      ["R'z':match 'x', 'end'"] = "nil end",
      ["R'b':find('abcb', 3)"] = "4 4",
      ["R'b':find('abcb', -1)"] = "4 4",
      ["R'(b)(c)':find 'abc'"] = "2 3 b c",
      ["R'':find('abc', 9)"] = "nil nil",
      ["R('(?<key>\\\\w+):(?<value>\\\\w+)'):captures('k:v').value"] = "v",
      ["R'(x)?y':captures('y')[0]"] = "y",
      ["R('ABC', 'i'):test 'abc'"] = "true",
      ["R('^.$', 'u'):test 'ä', R'^.$':test 'ä'"] = "true false",
      ["R('.', 'u'):test '\\255'"] = "nil not UTF-8",
      ["#R'\\\\0':match 'a\\0b'"] = "1",
      ["R 'a' == R 'a', tostring(R 'a')"] = "true regex: a",
    }
  end)

  it("goes through all matches, empty ones too, and replaces them", function()
    expect {
      ["(function() local t = {} for k, v in R'(\\\\w)=(\\\\w)':gmatch 'a=1,b=2' do t[#t + 1] = k .. v end "
        .. "return table.concat(t, ',') end)()"] = "a1,b2",
      ["(function() local t = {} for m in R'a*':gmatch 'baac' do t[#t + 1] = '<' .. m .. '>' end "
        .. "return table.concat(t) end)()"] = "<><aa><>",
      ["R'o':gsub('foo boo', '0')"] = "f00 b00 4",
      ["R'o':gsub('foo boo', '0', 2)"] = "f00 boo 2",
      ["R'(\\\\w+) (\\\\w+)':gsub('hello world', '%2 %1 %0 %%')"] = "world hello hello world % 1",
      ["R'\\\\w+':gsub('a b', { a = 'x' })"] = "x b 2",
      ["R'\\\\w':gsub('abc', function(c) if c ~= 'b' then return c:upper() end end)"] = "AbC 3",
      ["R'x*':gsub('abc', '-')"] = "-a-b-c- 4",
      ["R('', 'u'):gsub('äö', '.')"] = ".ä.ö. 3",
      ["R'\\\\w':gsub('ab', function(c) moongate.sleep(0.01) return c .. c end)"] = "aabb 2",
    }
  end)

  it("refuses what is wrong, with the caller's line", function()
    expect {
      ["R'(a'"] = '~line:1: bad regex "(a": missing closing parenthesis',
      ["R(nil)"] = "~line:1: bad argument #1 to 'moongate.regex'",
      ["R('a', 'q')"] = "~line:1: bad argument #2 to 'moongate.regex'",
      ["R'a'.test('a')"] = "~bad argument self to 'regex:test'",
      ["R'a':test({})"] = "~line:1: bad argument #1 to 'regex:test' (string expected, got table)",
      ["R'a':find('a', 'x')"] = "~bad argument #2 to 'regex:find'",
      ["R'a':gsub('a', true)"] = "~bad argument #2 to 'regex:gsub'",
      ["R'a':gsub('a', function() return {} end)"] = "~the replacement is a table",
      ["R(('(a{1000}){1000}'):rep(50))"] = "~bad regex",
    }
  end)

  it("gives up a pattern that would go on for ever", function()
    local client = net.connect(start():port "front")
    for _, line in ipairs {
      "R'^(a+)+$':test(('a'):rep(64) .. '!')",
      "R'(x+x+)+[yz]':match(('x'):rep(5000))",
      "R'^(a+)+$':gsub(('a'):rep(64) .. '!', '')",
    } do
      client:send("(function() local t = os.clock() local r, e = " .. line
        .. " return e, os.clock() - t end)()\n")
      local err, seconds = client:receive_line():match "^(.*) (%S+)$"
      assert.are.equal("match limit", err, line)
      assert.truthy(tonumber(seconds) < 0.5, seconds)
    end
  end)

  it("counts what its machine code takes, whether or not it is kept", function()
    local MIB, limit = 1024 * 1024, moongate.sanitized and 400 or 32
    local m = moongate.start {
      config = "limits = { script_memory = '16m', script_time = '60s' }",
      routes = moongate.front [[handler = function(socket)
        for line in socket:lines() do
          local kept, keeps, made, first = {}, line == "keep", 0, nil
          local ok, err = pcall(function()
            for i = 1, keeps and 1e6 or 20000 do
              kept[keeps and i or 1] = moongate.regex("^(?:foo|bar|b[aeiou]z){2,9}(\\w+)=(\\d+)[^x]*x" .. i .. "$")
              made, first = i, first or kept[1]
            end
          end)
          kept = nil
          collectgarbage()
          collectgarbage()
          local works = first:test "foobar1=2x1"
          socket:send(("%s %d %s %s\n"):format(ok, made, works, (tostring(err):gsub("\n.*", ""))))
        end
      end]],
    }
    local client, before = net.connect(m:port "front"), m:rss()
    for _ = 1, 3 do
      assert.are.equal("true 20000 true nil", net.ask(client, "forget"))
      assert.truthy(m:rss() - before < limit * MIB, ("%d MiB"):format((m:rss() - before) / MIB))
    end
    for _ = 1, 3 do
      local ok, made, works = assert(net.ask(client, "keep"), m:log()):match "^(%S+) (%d+) (%S+)"
      assert.are.equal("false true", ok .. " " .. tostring(works))
      assert.truthy(tonumber(made) > 1000, made)
      assert.truthy(m:rss() - before < limit * MIB, ("%d MiB"):format((m:rss() - before) / MIB))
    end
  end)

  it("is told by the schema where it does not belong", function()
    local space = moongate.workspace { routes = "return { name = moongate.regex 'x', match = { ports = 0 } }" }
    local answer = moongate.command { "check", moongate.files_of(space) }
    assert.are.equal(1, answer.status)
    assert.matches("name: expected a string, got a regex", answer.out)
  end)
end)
