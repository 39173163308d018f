-- SPDX-License-Identifier: MIT

local control = require "moongate.control"
local fake_socket = require "spec.support.fake_socket"

describe("control", function()
  local tried, sockets

  before_each(function()
    tried, sockets = {}, {}
    package.loaded.moongate = {
      connect = function(address, port, options)
        assert(port == nil and options.timeout > 0)
        tried[#tried + 1] = address
        local answer = sockets[address] or "No such file or directory"
        if type(answer) == "string" then
          return nil, answer
        end
        return answer
      end,
      now = function()
        return sockets["unix:/s"].time
      end,
    }
  end)

  after_each(function()
    package.loaded.moongate = nil
  end)

  local function answer_with(...)
    sockets["unix:/s"] = fake_socket { ... }
    return control.get("/s", "/api/v1/status")
  end

  it("decodes an answer in JSON and closes the socket", function()
    local head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    local status, body = answer_with(head:sub(1, 30), head:sub(31) .. '{"a"', ":[1]}")
    assert.equal(200, status)
    assert.same({ a = { 1 } }, body)
    local socket = sockets["unix:/s"]
    assert.is_true(socket.closed)
    local request = "^GET /api/v1/status HTTP/1.1\r\nHost: moongate\r\n.*\r\nConnection: close\r\n\r\n$"
    assert.matches(request, socket:output())
  end)

  it("hands over other answers as they are", function()
    local status, body = answer_with "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nwait"
    assert.equal(503, status)
    assert.equal("wait", body)
  end)

  it("says what to do when nothing answers", function()
    local there = os.tmpname()
    local cases = {
      ["connection refused"] = "the socket is there, but nothing listens",
      ["Permission denied"] = "as the user that moongate runs as",
      ["timeout"] = "is it stopped, or too busy?",
      ["weather"] = there .. ": weather",
    }
    for failure, advice in pairs(cases) do
      sockets["unix:" .. there] = failure
      local status, message = control.get(there, "/")
      assert.is_nil(status)
      assert.matches(advice, message, 1, true)
    end
    os.remove(there)
    sockets["unix:" .. there] = "connection refused"
    local status, message = control.get(there, "/")
    assert.is_nil(status)
    assert.matches(("no moongate answers on %s: is it running?"):format(there), message, 1, true)
  end)

  it("gives up on a moongate that takes the connection and stays silent", function()
    local status, message = answer_with(3600)
    assert.is_nil(status)
    assert.matches("does not answer on /s", message)
    assert.equal(1010, sockets["unix:/s"].time)
    assert.is_true(sockets["unix:/s"].closed)
  end)

  it("refuses answers that are cut off, or no HTTP, or no JSON", function()
    local cases = {
      { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "was cut off" },
      { "HTTP/1.1 200 OK\r\nContent-Le", "was cut off" },
      { "", "was cut off" },
      { "220 mail.example.com ESMTP\r\n", "no moongate" },
      { "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{", "not the JSON" },
    }
    for _, case in ipairs(cases) do
      local status, message = answer_with(case[1] ~= "" and case[1] or nil)
      assert.is_nil(status)
      assert.matches(case[2], message, 1, true)
    end
  end)

  it("sends other methods with the length of their body, and waits for as long as it is told", function()
    sockets["unix:/s"] = fake_socket { 200, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" }
    local status, body = control.request("/s", "POST", "/api/v1/reload", nil, 300)
    assert.equal(200, status)
    assert.equal("ok", body)
    assert.matches("^POST /api/v1/reload HTTP/1.1\r\n.*\r\nContent%-Length: 0\r\n", sockets["unix:/s"]:output())
    sockets["unix:/s"] = fake_socket { 3600 }
    assert.is_nil((control.request("/s", "PUT", "/x", "text", 300)))
    assert.equal(1300, sockets["unix:/s"].time)
    assert.matches("\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntext", sockets["unix:/s"]:output(), 1, true)
  end)

  it("looks where the socket usually is, when nobody says", function()
    local status, message = control.get(nil, "/")
    assert.is_nil(status)
    assert.equal("unix:/run/moongate.sock", tried[1])
    assert.matches("no moongate answers on /run/moongate.sock", message, 1, true)
    assert.same({ "/x" }, control.paths "/x")
  end)
end)
