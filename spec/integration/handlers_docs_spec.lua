-- SPDX-License-Identifier: MIT
--
-- The examples of docs/handlers.md are whole route files, and do what is said there.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("the example", function()
  after_each(moongate.finish)

  -- Starts the page's route file of that name, on a port given by the kernel; `ports`: what stands for those in it.
  local function start(name, ports)
    local text
    for block in process.read("docs/handlers.md"):gmatch "```lua\n(.-)```" do
      if block:find(("-- routes/%s.lua\n"):format(name), 1, true) == 1 then
        text = block
      end
    end
    assert(text, "the page has no routes/" .. name .. ".lua")
    text = text:gsub("ports = %d+", "ports = 0"):gsub('("127.0.0.1", )(%d+)', function(before, port)
      return before .. (ports and ports[tonumber(port)] or port)
    end)
    return moongate.start { routes = { [name .. ".lua"] = text } }
  end

  it("greeter asks for a name", function()
    local client = net.connect(start("greeter"):port "greeter")
    assert.are.equal("hello, who is there?", client:receive_line())
    client:send "moon\r\n"
    assert.are.same({ "welcome, moon\r\n", "end" }, { client:receive_all() })
  end)

  it("guess can be won", function()
    local m = start "guess"
    local client = net.connect(m:port "guess")
    client:receive_line()
    local low, high = 1, 100
    while true do
      local guess = math.floor((low + high) / 2)
      client:send(guess .. "\n")
      local answer = client:receive_line()
      if answer == "more" then
        low = guess + 1
      elseif answer == "less" then
        high = guess - 1
      else
        assert.truthy(answer:find "^yes, after %d+$", answer)
        break
      end
    end
    m:await_log "guessed[^\n]* tries=%d"
  end)

  it("either tells HTTP from the rest, and loses no byte", function()
    local web, lines = net.listen(), net.listen()
    local m = start("either", { [8080] = web:port(), [9001] = lines:port() })
    for _, case in ipairs { { web, "GET / HTTP/1.1\r\n" }, { lines, "hello\r\n" } } do
      local client = net.connect(m:port "either")
      client:send(case[2])
      assert.are.equal(case[2], (assert(case[1]:accept()):receive(#case[2])))
      client:close()
    end
  end)

  it("door opens for the password only", function()
    local lines = net.listen()
    local m = start("door", { [9001] = lines:port() })
    local stranger = net.connect(m:port "door")
    stranger:send "open\n"
    assert.are.same({ "password: no\n", "end" }, { stranger:receive_all() })
    local client = net.connect(m:port "door")
    client:send "sesame\nhello"
    local inside = assert(lines:accept())
    assert.are.equal("hello", (inside:receive(5)))
    inside:send "welcome"
    inside:close()
    client:shutdown()
    assert.are.same({ "password: welcome", "end" }, { client:receive_all() })
    m:await_log "done[^\n]* down=7"
  end)
end)
