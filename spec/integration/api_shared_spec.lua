-- SPDX-License-Identifier: MIT
--
-- moongate.shared: what all workers and all files see.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("moongate.shared", function()
  after_each(moongate.finish)

  -- What each line of Lua that is sent to the route answers: its values, printed.
  local SHELL = [[
    local words = moongate.shared "words"
    handler = function(socket)
      for line in socket:lines() do
        local function show(...)
          local texts = {}
          for i = 2, select("#", ...) do texts[i - 1] = tostring((select(i, ...))) end
          return table.concat(texts, " ")
        end
        socket:send((show(pcall(assert(load("local words = ...; " .. line)), words)):gsub("\n.*", "")) .. "\n")
      end
    end]]

  local function shell(name, port)
    return ([[%s
      return { name = %q, match = { ports = %s }, action = { handler = handler } }
    ]]):format((SHELL:gsub("handler =", "local handler =")), name, port or "0")
  end

  local ask = net.ask

  it("stores plain values, and says what it can't do", function()
    local m = moongate.start { routes = shell "shell" }
    local client = net.connect(m:port "shell")
    for line, answer in pairs {
      ["return words:get 'nothing'"] = "nil",
      ["return words:set('n', 1.5), words:get 'n'"] = "true 1.5",
      ["return words:set('b', false), words:get 'b'"] = "true false",
      ["return words:set('s', 'a\\0b'), #words:get 's'"] = "true 3",
      ["return words:add('once', 1), words:add('once', 2)"] = "true nil exists",
      ["return words:incr 'none'"] = "nil not found",
      ["return words:incr('new', 2, 40), words:incr 'new'"] = "42 43",
      ["words:set('text', 'x') return words:incr 'text'"] = "nil not a number",
      ["words:set('gone', 1) return words:delete 'gone', words:get 'gone'"] = "true nil",
      ["return words:set('', 1)"] = "nil bad key",
      ["return words:set('large', ('x'):rep(9e6))"] = "nil no memory",
      ["return words == moongate.shared 'words'"] = "true",
      ["return getmetatable(words)"] = "moongate.shared",
    } do
      assert.are.equal(answer, ask(client, line), line)
    end
    for line, message in pairs {
      ["words:set('t', {})"] = "bad argument #2 to 'dictionary:set'",
      ["words:set('t')"] = "bad argument #2 to 'dictionary:set'",
      ["words.get('t')"] = "bad argument self to 'dictionary:get'",
      ["words:set('t', 1, 'soon')"] = "a duration expected",
      ["moongate.shared()"] = "bad argument #1 to 'moongate.shared'",
      ["moongate.shared(('x'):rep(65))"] = "1 to 64 characters",
    } do
      local answer = ask(client, line)
      assert.truthy(answer:find(message, 1, true), line .. ": " .. answer)
      assert.truthy(answer:find('[string "local words', 1, true), answer)
    end
  end)

  it("forgets what has a time to live", function()
    local m = moongate.start { routes = shell "shell" }
    local client = net.connect(m:port "shell")
    assert.are.equal("true", ask(client, "return words:set('short', 1, 0.05)"))
    assert.are.equal("true", ask(client, "return words:set('long', 1, '1h')"))
    assert.are.equal("nil 1", ask(client, "moongate.sleep(0.5) return words:get 'short', words:get 'long'"))
  end)

  it("is the same in all workers and files, and counts without losing any", function()
    local counting = [[
      local count = moongate.shared "count"
      return { name = %q, match = { ports = 0 }, action = { handler = function(socket)
        for _ = 1, 100 do count:incr("all", 1, 0) end
        socket:send(count:get "all" .. "\n")
      end } }
    ]]
    local routes = { ["a.lua"] = counting:format "a", ["b.lua"] = counting:format "b" }
    local m = moongate.start { workers = 2, routes = routes }
    local last = 0
    for _ = 1, 10 do
      for _, name in ipairs { "a", "b" } do
        local client = net.connect(m:port(name))
        last = tonumber(client:receive_line())
        client:close()
      end
    end
    assert.are.equal(2000, last)
  end)

  it("outlives the versions of its files", function()
    local m = moongate.start { routes = { ["shell.lua"] = shell "shell" } }
    local client = net.connect(m:port "shell")
    assert.are.equal("true", ask(client, "return words:set('kept', 'yes')"))
    m:write("shell.lua", shell "shell" .. "-- changed")
    m:await_generation(2)
    assert.are.equal("yes", ask(net.connect(m:port "shell"), "return words:get 'kept'"))
  end)

  it("has bounds: how many, and how large", function()
    local m = moongate.start {
      config = 'limits = { shared_dictionaries = 2, shared_memory = "64k" }', routes = shell "shell",
    }
    local client = net.connect(m:port "shell")
    assert.are.equal("true", ask(client, "moongate.shared 'second' return true"))
    assert.truthy(ask(client, "moongate.shared 'third'"):find("limits.shared_dictionaries", 1, true))
    assert.are.equal("done", ask(client, "for i = 1, 2000 do words:set('key' .. i, ('x'):rep(100)) end return 'done'"))
    assert.are.equal("nil true", ask(client, "return words:get 'key1', words:get 'key2000' ~= nil"))
    local metrics = m:metrics()
    assert.truthy(metrics['moongate_shared_bytes{dictionary="words"}'] <= 65536)
    assert.truthy(metrics['moongate_shared_evictions_total{dictionary="words"}'] > 1000)
    assert.are.equal(0, metrics['moongate_shared_entries{dictionary="second"}'])
  end)
end)
