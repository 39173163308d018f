-- SPDX-License-Identifier: MIT
--
-- The handlers that moongate brings along: echo, line, block, proxy, http_block, http_redirect,
-- http_response, http.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"

describe("the ready handler", function()
  after_each(moongate.finish)

  local function start(handler)
    return moongate.start { routes = moongate.front("handler = " .. handler) }
  end

  local function check_of(action)
    local space = moongate.workspace { routes = moongate.front(action) }
    return moongate.command { "check", moongate.files_of(space) }
  end

  describe("echo", function()
    it("answers what it is sent, and ends when the client has", function()
      local m = start "moongate.handlers.echo()"
      local client = net.connect(m:port "front")
      for _, text in ipairs { "a", "some words\n", ("x"):rep(10000) } do
        client:send(text)
        assert.are.equal(text, (client:receive(#text)))
      end
      client:send "last"
      client:shutdown()
      assert.are.same({ "last", "end" }, { client:receive_all() })
      m:await_idle()
    end)

    it("loses no byte of many connections", function()
      local m = start "moongate.handlers.echo()"
      local counted = peers.clients {
        port = m:port "front", connections = 60, parallel = 6, kinds = "echo", up = { 0, 1, 1000, "64k", "300k" },
      }
      assert.are.equal(0, counted.failed, counted.errors)
      m:await_idle()
      assert.are.equal(counted.sent, m:metric 'bytes_total{direction="in"}')
      assert.are.equal(counted.received, m:metric 'bytes_total{direction="out"}')
    end)
  end)

  describe("line", function()
    local echo_line = [[moongate.handlers.line(function(line, socket, context)
      if line == "quit" then
        socket:send "bye\n"
        socket:close()
      else
        socket:send(context.client_ip .. " " .. #line .. " " .. line .. "\n")
      end
    end)]]

    it("is called for each line, however the lines are cut into packets", function()
      local m = start(echo_line)
      local client = net.connect(m:port "front")
      client:send "one\r\ntw"
      assert.are.equal("127.0.0.1 3 one", client:receive_line())
      client:send "o\n\nthree\n"
      assert.are.equal("127.0.0.1 3 two", client:receive_line())
      assert.are.equal("127.0.0.1 0 ", client:receive_line())
      assert.are.equal("127.0.0.1 5 three", client:receive_line())
      client:send "quit\n"
      assert.are.same({ "bye\n", "end" }, { client:receive_all() })
    end)

    it("ends when the client has", function()
      local m = start(echo_line)
      local client = net.connect(m:port "front")
      client:send "one\n"
      client:shutdown()
      assert.are.same({ "127.0.0.1 3 one\n", "end" }, { client:receive_all() })
      m:await_idle()
    end)

    it("ends on a line without end, which it does not take into memory", function()
      local m = start(echo_line)
      local client = net.connect(m:port "front")
      local before = m:rss()
      for _ = 1, 64 do
        if not client:send(("x"):rep(1024 * 1024)) then
          break
        end
      end
      if not moongate.sanitized then
        assert.truthy(m:rss() - before < 16 * 1024 * 1024)
      end
      local bytes, how = client:receive_all()
      assert.are.equal("", bytes)
      assert.are_not.equal("timeout", how)
      client:close()
      m:await_idle()
    end)
  end)

  describe("block", function()
    it("says its message and closes", function()
      local m = start 'moongate.handlers.block("go away\\n")'
      local client = net.connect(m:port "front")
      client:send "please"
      assert.are.same({ "go away\n", "end" }, { client:receive_all() })
    end)

    it("closes without a message", function()
      local m = start "moongate.handlers.block()"
      local client = net.connect(m:port "front")
      assert.are.equal("", (client:receive_all()))
      client:close()
      m:await_idle()
    end)
  end)

  describe("proxy", function()
    it("forwards to its target", function()
      local server = peers.server()
      local m = start(("moongate.handlers.proxy('127.0.0.1', %d)"):format(server.port))
      local counted = peers.clients {
        port = m:port "front",
        connections = 40,
        parallel = 4,
        kinds = { "exchange", "half" },
        up = { 0, "100k", 1 },
        down = { "3m", 1 },
      }
      assert.are.equal(0, counted.failed, counted.errors)
      m:await_idle()
    end)

    it("ends the connection when its target refuses", function()
      local m = start(("moongate.handlers.proxy('127.0.0.1', %d)"):format(net.refusing_port()))
      local bytes, how = net.connect(m:port "front"):receive_all()
      assert.are.equal("", bytes)
      assert.are_not.equal("timeout", how)
      m:await_idle()
    end)
  end)

  describe("http_response", function()
    local gone = [[moongate.handlers.http_response {
      status = 410, headers = { ["X-Reason"] = "moved out", ["Content-Type"] = "text/plain" }, body = "gone\n",
    }]]

    it("answers curl with status, headers and body", function()
      local m = start(gone)
      local answer = peers.curl { "-i", ("http://127.0.0.1:%d/any/path"):format(m:port "front") }
      assert.are.equal(0, answer.status, answer.err)
      assert.truthy(answer.out:match "^HTTP/1%.1 410 Gone\r\n", answer.out)
      assert.truthy(answer.out:lower():find("\r\nx-reason: moved out\r\n", 1, true), answer.out)
      assert.truthy(answer.out:lower():find("\r\ncontent-length: 5\r\n", 1, true), answer.out)
      assert.are.equal("gone\n", answer.out:match "\r\n\r\n(.*)$")
    end)

    it("answers HEAD without a body, and several requests, and a request with a body", function()
      local m = start(gone)
      local url = ("http://127.0.0.1:%d/"):format(m:port "front")
      local head = peers.curl { "-I", url }
      assert.are.equal(0, head.status, head.err)
      assert.truthy(head.out:match "^HTTP/1%.1 410")
      local several = peers.curl { url, url, url }
      assert.are.equal("gone\ngone\ngone\n", several.out, several.err)
      local post = peers.curl { "--data-binary", ("x"):rep(30000), url }
      assert.are.equal("gone\n", post.out, post.err)
    end)

    it("answers what is no HTTP with an error or an end", function()
      local m = start(gone)
      local client = net.connect(m:port "front")
      client:send "\0\1\2\3 nonsense\r\n\r\n"
      local bytes, how = client:receive_all()
      assert.are.equal("end", how)
      assert.truthy(bytes == "" or bytes:match "^HTTP/1%.1 [34]%d%d ", bytes)
    end)
  end)

  describe("http_block", function()
    local function get(handler, ...)
      local m = start(handler)
      return peers.curl { "-i", ("http://127.0.0.1:%d/"):format(m:port "front"), ... }
    end

    it("answers with its status and message, and closes", function()
      local answer = get 'moongate.handlers.http_block(451, "not here\\n")'
      assert.truthy(answer.out:match "^HTTP/1%.1 451 Unavailable For Legal Reasons\r\n", answer.out)
      assert.truthy(answer.out:lower():find("\r\nconnection: close\r\n", 1, true), answer.out)
      assert.are.equal("not here\n", answer.out:match "\r\n\r\n(.*)$")
    end)

    it("forbids when it is told nothing, also a request that has a body", function()
      local answer = get("moongate.handlers.http_block()", "--data-binary", ("x"):rep(30000))
      assert.truthy(answer.out:match "HTTP/1%.1 403 Forbidden\r\n.*\r\n\r\n403 Forbidden\n$", answer.out)
    end)
  end)

  describe("http_redirect", function()
    -- The status and the Location that a raw request is answered with.
    local function ask(m, request)
      local client = net.connect(m:port "front")
      client:send(request)
      client:shutdown()
      local answer = client:receive_all()
      return tonumber(answer:match "^HTTP/1%.1 (%d+) "), answer:match "\r\nLocation: ([^\r]*)\r\n"
    end

    local function get(target, host)
      return ("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n"):format(target, host or "a.example")
    end

    it("puts in the domain and the path, and takes the query along", function()
      local m = start 'moongate.handlers.http_redirect("https://{domain}{path}")'
      local expected = {
        { get("/", "a.example"), "https://a.example/" },
        { get("/b/c", "WWW.A.Example:8080"), "https://www.a.example/b/c" },
        { get("/b?c=d&e", "[2001:DB8::1]:80"), "https://[2001:db8::1]/b?c=d&e" },
        { get("http://other.example:81/b?c", "a.example"), "https://other.example/b?c" },
        { get "//evil.example/%2e", "https://a.example/evil.example/%2e" },
      }
      for _, case in ipairs(expected) do
        assert.are.same({ 301, case[2] }, { ask(m, case[1]) })
      end
    end)

    it("takes the other variables, and a status", function()
      local template = "/{route}/{client_ip}/{port}?{query}"
      local m = start(('moongate.handlers.http_redirect(%q, 308)'):format(template))
      local there = "/front/127.0.0.1/" .. m:port "front"
      assert.are.same({ 308, there .. "?a=b" }, { ask(m, get "/x?a=b") })
      assert.are.same({ 308, there }, { ask(m, get "/x") })
    end)

    it("never lets a client break the header, or name a host that is none", function()
      local m = start 'moongate.handlers.http_redirect("https://{domain}{path}")'
      for _, host in ipairs { "", "a b", "a/b", "a@b", "a\"b", "[::1" } do
        local status, location = ask(m, get("/", host))
        assert.are.same({ 400 }, { status, location }, host)
      end
      assert.are.same({ 400 }, { ask(m, "GET / HTTP/1.0\r\n\r\n") })
    end)

    it("tells at load what is wrong with its template and its status", function()
      local cases = {
        { '"https://{domian}/"', "there is no variable {domian}: did you mean {domain}?" },
        { '"https://{domain/"', "the brace at character 9 stands alone" },
        { '"https://a b/"', "a URL has no spaces" },
        { "", "http_redirect needs where to" },
        { '"/", 200', "http_redirect: status is 200, not 301, 302, 303, 307 or 308" },
      }
      for _, case in ipairs(cases) do
        local handler = ("handler = moongate.handlers.http_redirect(%s)"):format(case[1])
        local check = check_of(handler)
        assert.are.equal(1, check.status)
        assert.truthy(check.out:match "routes%.lua:%d+: " and check.out:find(case[2], 1, true), check.out)
      end
    end)
  end)

  it("that is not there is named, beside those that are", function()
    local check = check_of "handler = moongate.handlers.ehco()"
    assert.truthy(check.out:find("moongate.handlers.ehco is not there: there are block, echo, ", 1, true), check.out)
  end)

  describe("http", function()
    -- "/headers" gives what it was asked with, "/table" a response of its own, "/fill" fills the one that it was given.
    local answering = [[moongate.handlers.http(function(request, response, context)
      local headers = response.headers
      if request.path == "/headers" then
        local first = request.headers[1] or {}
        return table.concat({ request.headers.host or "none", request.headers["x-two"] or "none", #request.headers,
          tostring(first.name), tostring(first.value), tostring(request.headers == request.headers) }, " ")
      elseif request.path == "/table" then
        return { status = 404, headers = { B = { "1", "2" }, A = 3, C = false }, body = "none" }
      elseif request.path == "/fill" then
        response.status = 201
        headers["X-B"], headers["X-A"], headers["content-type"] = "b", "a", "text/html"
        response.body = context.client_ip
      elseif request.path == "/kept" then
        before = request
        return "kept"
      elseif request.path == "/before" then
        return before.headers.host .. " " .. before.path
      elseif request.path == "/large" then
        return ("x"):rep(tonumber(request.query))
      elseif request.path == "/close" then
        return { body = "bye", close = true }
      elseif request.path == "/bad" then
        headers["X-A"] = "a\nb"
        return ""
      elseif request.path == "/raise" then
        error "broken here"
      else
        return ("%s %s %s %s %s %d"):format(request.method, request.path, tostring(request.query), request.version,
          request.body, request.length or -1)
      end
    end)]]

    local function request(path, more)
      return ("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n"):format(path, more or "")
    end

    -- The status, the head and the body of the next answer.
    local function answer(client)
      local lines, line = {}, client:receive_line()
      while line and line ~= "" do
        lines[#lines + 1] = line
        line = client:receive_line()
      end
      local head = table.concat(lines, "\n")
      local length = tonumber(head:match "Content%-Length: (%d+)")
      return tonumber(head:match "^HTTP/1.1 (%d+)"), head, length and length > 0 and (client:receive(length)) or ""
    end

    local function body(client)
      return (select(3, answer(client)))
    end

    it("answers requests one after another, together, and byte by byte", function()
      local m = start(answering)
      local client = net.connect(m:port "front")
      for round = 1, 3 do
        client:send(request("/" .. round .. "?q=" .. round))
        assert.are.equal(("GET /%d q=%d 1.1  0"):format(round, round), body(client))
      end
      client:send(request "/a" .. "\r\n" .. request "http://a/b?c" .. request "http://a" .. request "/fill")
      assert.are.equal("GET /a nil 1.1  0", body(client))
      assert.are.equal("GET /b c 1.1  0", body(client))
      assert.are.equal("GET / nil 1.1  0", body(client))
      assert.are.equal("127.0.0.1", body(client))
      for byte in (request "/slow"):gmatch "." do
        client:send(byte)
      end
      assert.are.equal("GET /slow nil 1.1  0", body(client))
      local many = {}
      for index = 1, 500 do
        many[index] = request("/" .. index)
      end
      client:send(table.concat(many))
      for index = 1, 500 do
        assert.are.equal(("GET /%d nil 1.1  0"):format(index), body(client))
      end
      client:send(request("/last", "Connection: close\r\n"))
      local rest, how = client:receive_all()
      assert.are.equal("end", how)
      assert.truthy(rest:match "Connection: close\r\n.*GET /last nil 1.1  0$", rest)
    end)

    it("reads bodies with a length, in chunks, and after an invitation", function()
      local m = start(answering)
      local client = net.connect(m:port "front")
      client:send(request "/first")
      body(client)
      client:send "PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab"
      client:send "cd"
      assert.are.equal("PUT /p nil 1.1 abcd 4", body(client))
      client:send "PUT /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
      assert.are.equal("PUT /p nil 1.1 abc -1", body(client))
      client:send "PUT /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
      assert.are.equal("HTTP/1.1 100 Continue", client:receive_line())
      assert.are.equal("", client:receive_line())
      client:send("x" .. request "/next")
      assert.are.equal("PUT /p nil 1.1 x 1", body(client))
      assert.are.equal("GET /next nil 1.1  0", body(client))
    end)

    it("decodes headers when they are asked for, also after the next request", function()
      local m = start(answering)
      local client = net.connect(m:port "front")
      client:send(request("/headers", "X-Two: 1\r\nx-two: \t 2 \r\nEmpty:\r\n"))
      assert.are.equal("a 1, 2 4 Host a true", body(client))
      client:send(request "/kept" .. request("/before", "X: y\r\n"))
      assert.are.equal("kept", body(client))
      assert.are.equal("a /kept", body(client))
      client:send "GET /headers HTTP/1.0\r\n\r\n"
      assert.truthy(client:receive_all():match "none none 0 nil nil true$")
    end)

    it("writes what it is given, sorted, dated, with a length", function()
      local m = start(answering)
      local client = net.connect(m:port "front")
      client:send(request "/fill")
      local status, head, text = answer(client)
      assert.are.same({ 201, "127.0.0.1" }, { status, text })
      local day = "Date: %a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT"
      local shape = "^HTTP/1.1 201 Created\nX%-A: a\nX%-B: b\ncontent%-type: text/html\n" .. day
      assert.truthy(head:match(shape .. "\nContent%-Length: 9$"), head)
      client:send(request "/table")
      status, head, text = answer(client)
      assert.are.same({ 404, "none" }, { status, text })
      assert.truthy(head:match "\nA: 3\nB: 1\nB: 2\nContent%-Type: text/plain; charset=utf%-8\nDate: ", head)
      client:send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" .. request "/y")
      repeat
        local line = client:receive_line()
      until line == ""
      assert.are.equal("GET /y nil 1.1  0", body(client))
    end)

    it("sends bodies of any size, to a client that is slow to take them", function()
      local m = start(answering)
      local client = net.connect(m:port "front")
      for _, size in ipairs { 0, 1, 3900, 4000, 4096, 5000, 8000000 } do
        client:send(request("/large?" .. size))
        local status, _, text = answer(client)
        assert.are.same({ 200, size, true }, { status, #text, text == ("x"):rep(size) })
      end
    end)

    it("closes when told to, and answers 500 to an error and to a header that would break the answer", function()
      local m = start(answering)
      for path, wanted in pairs {
        ["/close"] = "^HTTP/1.1 200 OK\r\n.*Connection: close\r\n.*bye$",
        ["/raise"] = "^HTTP/1.1 500 Internal Server Error\r\n.*Connection: close\r\n",
        ["/bad"] = "^HTTP/1.1 500 Internal Server Error\r\n.*Connection: close\r\n",
      } do
        local client = net.connect(m:port "front")
        client:send(request "/first")
        body(client)
        client:send(request(path))
        client:shutdown()
        local text, how = client:receive_all()
        assert.are.equal("end", how)
        assert.truthy(text:match(wanted), text)
      end
      m:await_idle()
    end)

    it("refuses what is no request, also behind one that is", function()
      local m = start(answering)
      local client = net.connect(m:port "front")
      client:send(request "/first" .. "nonsense\r\n\r\n")
      assert.are.equal("GET /first nil 1.1  0", body(client))
      client:shutdown()
      local text, how = client:receive_all()
      assert.are.equal("end", how)
      assert.truthy(text:match "^HTTP/1.1 400 Bad Request\r\n.*the request line is", text)
    end)
  end)
end)
