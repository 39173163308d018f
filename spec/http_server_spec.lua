-- SPDX-License-Identifier: MIT

local fake_socket = require "spec.support.fake_socket"

describe("http_server", function()
  local http_server, http_handlers

  setup(function()
    package.loaded["moongate.http_parser"] = require "spec.support.plain_parser"
    package.loaded["moongate.http_server"], package.loaded["moongate.http_handlers"] = nil, nil
    http_server = require "moongate.http_server"
    http_handlers = require "moongate.http_handlers"
  end)

  teardown(function()
    package.loaded["moongate.http_parser"], package.loaded["moongate.http_server"] = nil, nil
    package.loaded["moongate.http_handlers"] = nil
  end)

  local function serve(steps, on_request, options)
    local socket = fake_socket(steps)
    local settings = { now = socket:clock(), date = false }
    for name, value in pairs(options or {}) do
      settings[name] = value
    end
    local answered = http_server.serve(socket, on_request, settings)
    return socket:output(), answered, socket
  end

  local function echo_path(request)
    return { body = request.method .. " " .. request.path }
  end

  local function get(path, version, headers)
    return ("GET %s HTTP/%s\r\nHost: a\r\n%s\r\n"):format(path, version or "1.1", headers or "")
  end

  local function ok(body, connection)
    return ("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%s\r\n%s"):format(
      #body,
      connection and "Connection: " .. connection .. "\r\n" or "",
      body
    )
  end

  it("answers one request after another on one connection", function()
    local output, answered = serve({ get "/1", get "/2" }, echo_path)
    assert.equal(ok "GET /1" .. ok "GET /2", output)
    assert.equal(2, answered)
  end)

  it("answers requests that arrive byte by byte", function()
    local steps = {}
    for byte in (get "/1" .. get "/2"):gmatch "." do
      steps[#steps + 1] = byte
    end
    assert.equal(ok "GET /1" .. ok "GET /2", (serve(steps, echo_path)))
  end)

  it("asks on_head before it reads a body, and reads none when that answers", function()
    local asked = {}
    local options = {
      on_head = function(request)
        asked[#asked + 1] = request.path .. " " .. request.length
        return request.path == "/no" and { status = 403, body = "no" } or nil
      end,
    }
    local function put(path, length)
      local head = "PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
      return head:format(path, length)
    end
    local output, answered = serve({ get "/1", put("/yes", 2), "ok", put("/no", 9) }, echo_path, options)
    local refused = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n"
    local go_on = "HTTP/1.1 100 Continue\r\n\r\n"
    assert.equal(ok "GET /1" .. go_on .. ok "PUT /yes" .. refused .. "Connection: close\r\n\r\nno", output)
    assert.equal(3, answered)
    assert.same({ "/yes 2", "/no 9" }, asked)
  end)

  it("answers pipelined requests in their order", function()
    local post = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    local output = serve({ get "/1" .. post .. get "/3" }, function(request)
      return { body = request.path .. request.body }
    end)
    assert.equal(ok "/1" .. ok "/2abc" .. ok "/3", output)
  end)

  it("closes after a request that asks for it, and after HTTP/1.0", function()
    assert.equal(ok("GET /1", "close"), (serve({ get("/1", "1.1", "Connection: close\r\n"), get "/2" }, echo_path)))
    assert.equal(ok("GET /1", "close"), (serve({ get("/1", "1.0"), get "/2" }, echo_path)))
  end)

  it("keeps a connection of HTTP/1.0 that asks for it, and says so", function()
    local output = serve({ get("/1", "1.0", "Connection: keep-alive\r\n"), get "/2" }, echo_path)
    assert.equal(ok("GET /1", "keep-alive") .. ok "GET /2", output)
  end)

  it("closes when the response says so", function()
    local output, answered = serve({ get "/1", get "/2" }, function()
      return { body = "bye", close = true }
    end)
    assert.equal(ok("bye", "close"), output)
    assert.equal(1, answered)
  end)

  it("answers HEAD with the head of the answer to GET", function()
    local output = serve({ "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" .. get "/2" }, echo_path)
    local head = ok("HEAD /x"):match "^(.-\r\n\r\n)"
    assert.equal(head .. ok "GET /2", output)
  end)

  it("sends no body and no length with 204 and 304", function()
    for status, text in pairs { [204] = "No Content", [304] = "Not Modified" } do
      local output = serve({ get "/" }, function()
        return { status = status, body = "dropped" }
      end)
      assert.equal(("HTTP/1.1 %d %s\r\n\r\n"):format(status, text), output)
    end
  end)

  it("gives the path and the query apart", function()
    local seen
    serve({ get "/a/b?c=d?e" .. get "http://a" .. get "http://a/b?" }, function(request)
      seen = (seen or "") .. request.path .. "|" .. tostring(request.query) .. "\n"
      return {}
    end)
    assert.equal("/a/b|c=d?e\n/|nil\n/b|\n", seen)
  end)

  it("invites a body that waits for 100 Continue", function()
    local head = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    local output = serve({ head, "ok" }, function(request)
      return { body = request.body }
    end)
    assert.equal("HTTP/1.1 100 Continue\r\n\r\n" .. ok "ok", output)
    assert.equal(ok "ok", (serve({ head .. "ok" }, function(request)
      return { body = request.body }
    end)))
  end)

  it("says what is wrong, and reads on for a while so that the answer arrives", function()
    local output, answered, socket = serve({ "nonsense\r\n\r\n", "more", "and more" }, echo_path)
    assert.matches("^HTTP/1.1 400 Bad Request\r\n.*Connection: close\r\n.*the request line is broken\n$", output)
    assert.equal(0, answered)
    assert.is_true(socket.shut.send)
    assert.is_nil(socket.steps[socket.at])
  end)

  it("does not read for ever after an error", function()
    local steps = { "nonsense\r\n\r\n" }
    for index = 2, 1000 do
      steps[index] = ("x"):rep(16 * 1024)
    end
    local _, _, socket = serve(steps, echo_path)
    assert.is_true(socket.at < 100)
    local _, _, slow = serve({ "nonsense\r\n\r\n", 1, "x", 1, "x", 1, "x" }, echo_path)
    assert.equal(1002, slow.time)
  end)

  it("refuses a body that is too large", function()
    local output = serve({ "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n" }, echo_path, { max_body = 8 })
    assert.matches("^HTTP/1.1 413 Content Too Large\r\n", output)
  end)

  it("ends a connection that stays silent, without a word", function()
    local output, _, socket = serve({ 3600 }, echo_path)
    assert.equal("", output)
    assert.equal(1010, socket.time)
    output, _, socket = serve({ get "/1", 3600 }, echo_path)
    assert.equal(ok "GET /1", output)
    assert.equal(1060, socket.time)
  end)

  it("answers 408 when a head does not come to its end in time, however often a byte comes", function()
    local output, _, socket = serve({ "GET", 4, " /", 4, " HT", 4, "TP", 3600 }, echo_path)
    assert.matches("^HTTP/1.1 408 Request Timeout\r\n", output)
    assert.is_true(socket.time <= 1012)
    output = serve({ get "/1", 55, "GET", 8, " /", 3600 }, echo_path)
    assert.matches("HTTP/1.1 408 Request Timeout\r\n", output)
  end)

  it("counts the time of a head from its first byte", function()
    assert.equal(ok "GET /1" .. ok "GET /2", (serve({ get "/1", 55, "GET /2 HT", 9, "TP/1.1\r\n\r\n" }, echo_path)))
  end)

  it("answers 408 when a body does not come in time", function()
    local output = serve({ "PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", 50, "abc", 3600 }, echo_path)
    assert.matches("^HTTP/1.1 408 Request Timeout\r\n", output)
  end)

  it("stops when the client has gone", function()
    local socket = fake_socket { get "/1" .. get "/2" }
    socket.broken = true
    assert.equal(1, http_server.serve(socket, echo_path, { now = socket:clock() }))
  end)

  it("answers 500 to an error, then raises it with a traceback", function()
    local socket = fake_socket { get "/1", get "/2" }
    local fine, message = pcall(http_server.serve, socket, function()
      error "broken here"
    end, { now = socket:clock(), date = false })
    assert.is_false(fine)
    assert.matches("broken here\nstack traceback:", message)
    assert.matches("^HTTP/1.1 500 Internal Server Error\r\n.*Connection: close\r\n", socket:output())
    assert.equal(1, #socket.sent)
  end)

  it("never lets a response break its framing", function()
    local faults = {
      { {}, "status is x, not a number", { status = "x" } },
      { {}, "status is 99, not a number from 200 to 599", { status = 99 } },
      { {}, "body is not a string", { body = {} } },
      { {}, "has a control character or a line end", { headers = { X = "a\r\nY: b" } } },
      { {}, "has a control character or a line end", { headers = { X = { "a", "b\n" } } } },
      { {}, "is not the name of a header", { headers = { ["X:"] = "a" } } },
      { {}, "is set by the server", { headers = { ["Content-length"] = "5" } } },
      { {}, "not a table", nil },
    }
    for _, case in ipairs(faults) do
      local socket = fake_socket { get "/" }
      local fine, message = pcall(http_server.serve, socket, function()
        return case[3]
      end, { now = socket:clock() })
      assert.is_false(fine)
      assert.matches(case[2], message, 1, true)
      assert.matches("^HTTP/1.1 500 ", socket:output())
    end
  end)

  it("writes headers in a stable order, lists line by line, and leaves out false ones", function()
    local output = serve({ get "/" }, function()
      return { headers = { B = { "1", "2" }, A = 3, C = false, ["content-type"] = "text/html" }, body = "x" }
    end)
    local headers = "A: 3\r\nB: 1\r\nB: 2\r\ncontent-type: text/html\r\nContent-Length: 1\r\n"
    assert.equal("HTTP/1.1 200 OK\r\n" .. headers .. "\r\nx", output)
  end)

  it("dates its answers", function()
    local output = serve({ get "/" }, echo_path, { date = true })
    assert.matches("\r\nDate: %a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT\r\n", output)
  end)

  describe("http_response", function()
    local function call(handler, context)
      local socket = fake_socket { get "/x" }
      package.loaded.moongate = { now = socket:clock() }
      handler(socket, context)
      package.loaded.moongate = nil
      return socket:output()
    end

    it("answers every request alike", function()
      local handler = http_handlers.http_response { status = 404, headers = { ["X-By"] = "moon" }, body = "nothing\n" }
      assert.matches("^HTTP/1.1 404 Not Found\r\nX%-By: moon\r\n.*\r\n\r\nnothing\n$", call(handler))
      assert.equal(call(handler), call(handler))
    end)

    it("asks a function for the body", function()
      local handler = http_handlers.http_response {
        body = function(request, context)
          return request.path .. " for " .. context.client_ip
        end,
      }
      assert.matches("\r\n\r\n/x for 192.0.2.7$", call(handler, { client_ip = "192.0.2.7" }))
    end)

    it("says at load what is wrong with its table", function()
      local cases = {
        { "oops", "http_response: not a table" },
        { { status = 42 }, "http_response: response: status is 42" },
        { { body = 1 }, "http_response: response: body is not a string" },
        { { code = 200 }, "http_response: code is no field of it" },
        { { headers = { ["a b"] = 1 } }, "is not the name of a header" },
      }
      for _, case in ipairs(cases) do
        local fine, message = pcall(http_handlers.http_response, case[1])
        assert.is_false(fine)
        assert.matches(case[2], message, 1, true)
      end
    end)
  end)
end)
